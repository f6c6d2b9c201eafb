# An image in which stages run: Python, git and the packages of the lock; no code and no data.
# A container clones the project when it starts, and runs the command that it is given or, without
# one, what is placed in a work pool: container/start. How to: docs/howto/containers.md
#
#   docker build --tag image-classification .
#   docker build --tag image-classification:cpu --build-arg TORCH=cpu .    without 3 GB of CUDA

ARG PYTHON=python:3.11-slim-bookworm

# uv, checked by its hash, is there while the image is built and does not travel with it.
FROM $PYTHON AS tools
WORKDIR /tools
COPY requirements.lock .
RUN sed -n '/^uv==/,/# via/p' requirements.lock > uv.lock \
 && pip install --no-cache-dir --require-hashes --target uv --requirement uv.lock \
 && awk '/^[a-z0-9]/ {ours = /^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z-]*)(\[.*\])?==/} ours' \
    requirements.lock > torch.lock

FROM $PYTHON
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home pipeline \
 && install --directory --owner pipeline --group pipeline /project /cache \
 && python -m venv --without-pip /opt/venv

ENV UV_NO_CACHE=1 UV_PYTHON=/opt/venv/bin/python UV_COMPILE_BYTECODE=1

# torch and CUDA's libraries first: most of the image, and another layer only with another torch.
ARG TORCH=default
COPY --from=tools /tools/torch.lock /opt/
RUN --mount=type=bind,from=tools,source=/tools/uv,target=/uv \
    if [ "$TORCH" = cpu ]; then \
      /uv/bin/uv pip install --no-deps --index-url https://download.pytorch.org/whl/cpu \
        $(sed -nE 's/^(torch(vision)?==[^ ]*) .*/\1/p' /opt/torch.lock); \
    else \
      /uv/bin/uv pip install --no-deps --require-hashes --requirement /opt/torch.lock; \
    fi

# The rest, in the versions and with the hashes of the lock, without what only developers need.
COPY pyproject.toml requirements.lock requirements-cpu.lock /opt/
RUN --mount=type=bind,from=tools,source=/tools/uv,target=/uv \
    /uv/bin/uv pip install --requirement /opt/pyproject.toml \
      --extra export --extra kubernetes --extra search \
      --constraint "/opt/requirements$([ "$TORCH" != cpu ] || echo -cpu).lock"

COPY --chmod=755 container/start /usr/local/bin/start
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIPELINE_HOME=/project \
    DVC_SITE_CACHE_DIR=/project/.dvc/tmp/site
USER 1000:1000
WORKDIR /project
ENTRYPOINT ["tini", "--", "start"]
CMD []
