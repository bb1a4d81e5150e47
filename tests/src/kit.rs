//! A stack without routes, so that nothing is drained: one web server that shows its secret, and what can be changed.

/// What differs from one version of the kit to the next.
#[derive(Clone, Copy, Debug)]
pub struct Kit<'a> {
    pub image: &'a str,
    /// Port of the host.
    pub port: u16,
    /// File of the secret, beside the Compose file.
    pub secret: &'a str,
    /// Served as `/greeting`.
    pub greeting: &'a str,
}

impl Kit<'_> {
    /// Serves `/key` (the secret) and `/greeting`.
    pub fn compose(&self) -> String {
        let Kit { image, port, secret, greeting } = self;
        format!(
            r#"version: "3.8"
services:
  web:
    image: {image}
    command:
      - /bin/sh
      - -c
      - cat /run/secrets/key > /www/key; echo "$$GREETING" > /www/greeting; exec /bin/httpd -f -p 8080 -h /www
    environment: {{GREETING: "{greeting}"}}
    ports:
      - {{target: 8080, published: {port}, mode: host}}
    networks: [inside]
    secrets: [key]
    configs: [{{source: note, target: /etc/note}}]
    stop_grace_period: 1s
    stop_signal: SIGKILL
    deploy:
      endpoint_mode: dnsrr
      update_config: {{failure_action: rollback, monitor: 300ms}}
  back:
    image: {image}
    command: ["/bin/sleep", "100000"]
    networks: [inside]
    stop_signal: SIGKILL
    deploy:
      endpoint_mode: dnsrr
      update_config: {{monitor: 300ms}}
networks:
  inside: {{}}
secrets:
  key: {{file: {secret}}}
configs:
  note: {{file: note.txt}}
x-waggle:
  promotion: {{max_parallel: 3, strategy: in_place, monitor: 300ms, progress_deadline: 60s}}
"#
        )
    }
}
