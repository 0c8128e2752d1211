FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY server server
# The environment has no pip of its own; pip compiles what it installs, which halves the first start.
RUN python -m venv --without-pip /opt/aivideo-mcp \
  && python -m pip --python /opt/aivideo-mcp install --no-cache-dir --disable-pip-version-check .

FROM python:3.12-slim
# The registry's name, by which it knows whose image this is.
LABEL io.modelcontextprotocol.server.name="io.github.aivideo-mcp/aivideo-mcp" \
      org.opencontainers.image.licenses="MIT"
# Open to all, like /tmp: with --user somebody else runs it, who has to write here.
RUN install -d -m 1777 /state /videos
COPY --from=build /opt/aivideo-mcp /opt/aivideo-mcp
ENV PATH=/opt/aivideo-mcp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    AIVIDEO_STATE_DIR=/state
VOLUME ["/state", "/videos"]
# So that temporary files have a place where the root cannot be written.
WORKDIR /state
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["aivideo-mcp"]
CMD ["serve"]
