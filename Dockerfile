# SPDX-License-Identifier: Apache-2.0
# One file for docker (both of its builders), podman and buildah.
#   small (default)  nothing but the program, its plugins and the libraries they load: no shell, no package manager
#   slim             the same program on Debian's slim image, with a shell and apt, for looking around
# It uses no feature that has to be fetched (syntax line, RUN --mount), so that it builds without an image registry.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS tools
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates gcc libc6-dev meson ninja-build pkgconf \
      libcjson-dev libcurl4-openssl-dev libllhttp-dev librdkafka-dev libssl-dev libuv1-dev libxml2-dev libyaml-dev \
 && rm -rf /var/lib/apt/lists/*

FROM tools AS build
# by which test/image/run.sh finds what to remove
LABEL fragua.stage=build
WORKDIR /src
COPY . .
# Without dpkg-dev meson does not know Debian's library folder, and would take /usr/lib64. What plugins are built with is
# not for an image.
RUN meson setup /b --prefix=/usr --libdir="lib/$(gcc -print-multiarch)" -Dbuildtype=release \
      -Dtests=false -Dexamples=false -Dbench=false \
 && meson compile -C /b \
 && DESTDIR=/out meson install -C /b --strip --no-rebuild \
 && rm -rf /out/usr/include /out/usr/lib/*/pkgconfig /out/usr/lib/*/*.a
ARG SOURCE_DATE_EPOCH=0
RUN sh container/mkroot.sh /out /root.d

FROM ${BASE} AS slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates \
      libcjson1 libcurl4t64 libllhttp9.2 librdkafka1 libssl3t64 libuv1t64 libxml2 libyaml-0-2 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/cache/ldconfig \
      /var/lib/dpkg/*-old /var/log/* \
 && echo 'fragua:x:65532:65532:fragua:/:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'fragua:x:65532:' >> /etc/group
COPY --from=build /out/ /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/fragua"]
CMD ["--help"]

FROM scratch AS small
COPY --from=build /root.d/ /
LABEL org.opencontainers.image.title="fragua" \
      org.opencontainers.image.description="From Microsoft 365 mailboxes to Apache Kafka to an entity service" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/fragua"]
CMD ["--help"]
