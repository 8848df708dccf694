# Two images from one file: `--target api` has no torch, `--target worker` has it. Neither holds a secret or a compiler.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
# the one library of the system that a wheel (rasterio) asks for and this image may lack; its version follows the image
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp canemap \
    && install --directory --mode=0700 --owner=canemap --group=canemap /var/lib/canemap
ENV PATH=/opt/canemap/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/var/lib/canemap/.cache \
    CANEMAP_DATA_DIR=/var/lib/canemap \
    CANEMAP_LOG_FORMAT=json
WORKDIR /tmp
VOLUME /var/lib/canemap

FROM ${PYTHON_IMAGE} AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/canemap
RUN pip install --no-cache-dir uv==0.9.5 && uv venv /opt/canemap
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY app app
COPY ml ml
COPY worker worker
COPY migrations migrations

FROM build AS build-api
# the lock as constraints: the versions and hashes that the tests ran with, and only what this image needs of them
RUN uv pip install --no-cache --constraint requirements.lock ".[api]"

FROM build AS build-worker
# PyPI's torch for Linux computes on NVIDIA's GPUs; https://download.pytorch.org/whl/cpu has a small one for CPUs
ARG TORCH_INDEX=https://pypi.org/simple
# convolutions for the CPUs of this architecture: more than twice as fast as torch's
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && python ml/native/build.py
RUN torch=$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml) \
    && uv pip install --no-cache "$torch" --index "$TORCH_INDEX" \
    && uv pip install --no-cache --constraint requirements.lock ".[worker]"

FROM base AS api
COPY --from=build-api /opt/canemap /opt/canemap
USER 10001
EXPOSE 8000
# the loopback of the container: there are no access keys yet, so that whoever publishes the API says so (`--unprotected`)
CMD ["canemap", "serve"]

FROM base AS worker
COPY --from=build-worker /opt/canemap /opt/canemap
USER 10001
CMD ["canemap", "worker"]
