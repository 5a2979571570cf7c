import { byId } from "./dom.js";

const asked = new URLSearchParams(location.search);
if (asked.get("next")) byId("next").value = asked.get("next");
byId("notice").hidden = asked.get("failed") === null;
