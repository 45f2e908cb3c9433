# Only the command line, without the sandbox. In your copy, pin both base images by digest:
# `docker buildx imagetools inspect python:3.13-slim-bookworm`.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.txt requirements-build.txt requirements-notify.txt requirements-receiver.txt ./
# For notifications: --build-arg REQUIREMENTS=requirements-notify.txt; for a receiver: requirements-receiver.txt
ARG REQUIREMENTS=requirements.txt
# The final image contains neither pip nor the build tools.
RUN python -m venv --without-pip /opt/reconciler && \
    python -m pip --python /opt/reconciler/bin/python install --no-cache-dir --no-compile \
      --no-deps --only-binary :all: --require-hashes -r "$REQUIREMENTS" && \
    python -m pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r requirements-build.txt
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY schemas schemas
COPY reconciler reconciler
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . && \
    python -m pip --python /opt/reconciler/bin/python install --no-cache-dir --no-compile --no-deps dist/*.whl

FROM python:3.13-slim-bookworm
COPY --from=build /opt/reconciler /opt/reconciler
# A number, because Kubernetes cannot verify `runAsNonRoot` for a name.
USER 10001:10001
WORKDIR /hooks
ENV PATH=/opt/reconciler/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/tmp
ENTRYPOINT ["reconciler"]
CMD ["--help"]
