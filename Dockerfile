# Two images from one file: `--target api` has no torch, `--target worker` has it. Neither holds a secret or a compiler.
# Their last layer is canemap, the one before it all that it needs: a change of the code installs nothing again.
ARG PYTHON_IMAGE=python:3.13.11-slim-trixie

FROM ${PYTHON_IMAGE} AS debian
ARG DEBIAN_MIRROR=http://deb.debian.org
RUN find /etc/apt \( -name '*.list' -o -name '*.sources' \) -exec sed -i "s|http://deb.debian.org|$DEBIAN_MIRROR|" {} +

FROM debian AS base
# the one library of the system that a wheel (rasterio) asks for and this image may lack; its version follows the image
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp canemap \
    && install --directory --mode=0700 --owner=canemap --group=canemap /var/lib/canemap
ENV PATH=/opt/canemap/bin:/opt/python/bin:$PATH \
    PYTHONPATH=/opt/canemap \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/var/lib/canemap/.cache \
    CANEMAP_DATA_DIR=/var/lib/canemap \
    CANEMAP_LOG_FORMAT=json
WORKDIR /tmp
VOLUME /var/lib/canemap

FROM debian AS build
ARG INDEX=https://pypi.org/simple
ARG FIND_LINKS=
# the authorities that the image trusts: add those of a company to PYTHON_IMAGE
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_INDEX_URL=$INDEX \
    UV_DEFAULT_INDEX=$INDEX \
    UV_FIND_LINKS=$FIND_LINKS \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/python
# not on the PATH and not in an image: the environment in which uv lives
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir uv==0.9.5 && /opt/uv/bin/uv venv /opt/python
ENV PATH=/opt/python/bin:/opt/uv/bin:$PATH
WORKDIR /src

FROM build AS needs-api
COPY pyproject.toml requirements.lock ./
# the lock as constraints: the versions and hashes that the tests ran with, and only what this image needs of them
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --requirements pyproject.toml --extra api --extra tracing --constraint requirements.lock

FROM build AS needs-worker
# PyPI's torch for Linux computes on NVIDIA's GPUs; https://download.pytorch.org/whl/cpu has a small one for CPUs
ARG TORCH_INDEX=https://pypi.org/simple
COPY pyproject.toml requirements-worker.lock ./
# torch alone from its index, which also has other versions of what torch needs
RUN --mount=type=cache,target=/root/.cache/uv \
    torch=$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml) \
    && uv pip install --no-deps "$torch" --index "$TORCH_INDEX" \
    && uv pip install --requirements pyproject.toml --extra worker --extra tracing --constraint requirements-worker.lock

FROM build AS code
# convolutions for the CPUs of this architecture: more than twice as fast as torch's
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml LICENSE ./
COPY deploy/canemap.md deploy/
COPY app app
COPY ml ml
COPY worker worker
COPY migrations migrations
RUN --mount=type=cache,target=/root/.cache/uv \
    python ml/native/build.py && uv pip install --no-deps --target /opt/canemap .

FROM base AS api
COPY --from=needs-api /opt/python /opt/python
COPY --from=code /opt/canemap /opt/canemap
USER 10001
EXPOSE 8000
# the loopback of the container: `--host 0.0.0.0` makes it reachable, and then every request needs a key
CMD ["canemap", "serve"]

FROM base AS worker
COPY --from=needs-worker /opt/python /opt/python
COPY --from=code /opt/canemap /opt/canemap
USER 10001
CMD ["canemap", "worker"]
