"""What the pages' scripts ask of the service, run by Node where there is one."""

import subprocess

from service.routes.pages import FOLDER
from tests import needed

PACED = """
const listeners = [];
globalThis.document = { hidden: false, addEventListener: (name, tell) => listeners.push(tell),
                        getElementById: () => ({}) };
const { paced } = await import(process.argv[1]);
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const check = (holds, words) => { if (!holds) { console.error(words, calls); process.exit(1); } };
let calls = 0, running = 0, most = 0;
const ask = paced(async () => {
  calls += 1; running += 1; most = Math.max(most, running);
  await sleep(10);
  running -= 1;
  if (calls === 4) throw new Error("no answer");
}, 100);
await ask();
check(calls === 1, "asked at once");
for (let event = 0; event < 50; event += 1) ask();
check(calls === 1, "a burst of events waits");
await sleep(200);
check(calls === 2 && most === 1, "a burst of events asks once");
document.hidden = true;
ask();
await sleep(200);
check(calls === 2, "a hidden page asks nothing");
document.hidden = false;
for (const tell of listeners) tell();
await sleep(250);
check(calls === 3, "a page that is seen again asks once");
await ask();
await sleep(250);
check(calls === 5, "who got no answer asks again");
"""


def test_a_page_asks_at_most_every_few_seconds_and_not_while_hidden():
    arguments = [needed.node(), "--input-type=module", "--eval", PACED, str(FOLDER / "dom.js")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_only_one_function_of_the_pages_asks_and_it_says_what_it_has():
    asking = {path.name: path.read_text() for path in FOLDER.glob("*.js")}
    calls = {name: text.count("fetch(") for name, text in asking.items() if "fetch(" in text}
    assert calls == {"dom.js": 1}
    assert 'cache: "no-cache"' in asking["dom.js"]
