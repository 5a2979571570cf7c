# One image for every process; the command says which one it is.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

WORKDIR /app

# Dependencies first: they change less often than the code, and the layer is kept.
# On CPU-only hosts set TORCH_INDEX to an index with CPU wheels to keep the image small.
ARG TORCH_INDEX=""
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt torch
RUN python - <<'PY' > requirements.txt
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
print("\n".join(project["dependencies"] + extras["parquet"] + extras["text"]))
PY
RUN pip install -c constraints.txt -r requirements.txt

COPY compress compress
COPY featherweight featherweight
COPY store store
COPY search search
COPY service service
COPY workers workers
COPY launch launch
COPY migrations migrations
COPY examples examples
RUN pip install --no-deps .

RUN useradd --create-home --uid 10001 featherweight \
 && mkdir -p -m 700 /data/files /data/worker && chown -R featherweight /data
USER featherweight
WORKDIR /data
ENTRYPOINT ["featherweight"]
