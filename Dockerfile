# The binary is compiled by the host's Go (deploy/build.sh) and is static; nothing is pulled.
FROM scratch
COPY --chown=65532:65532 dist/rootfs/ /
USER 65532:65532
VOLUME ["/var/lib/lockstep", "/var/log/lockstep"]
EXPOSE 8200 8300
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/lockstep", "health"]
ENTRYPOINT ["/lockstep"]
CMD ["server", "--config", "/etc/lockstep/config.yaml"]
