//! The stack that the demo and the tests deploy: a web server with a health check behind a route.

use crate::bed::federation::ROUTE;

/// What differs from one version of the shop to the next.
#[derive(Clone, Copy, Debug)]
pub struct Shop<'a> {
    pub image: &'a str,
    /// Shell command of the container's health check.
    pub health: &'a str,
    /// Longest time one cluster may take. Well over a minute: where a failed task's replacement is still waiting for a
    /// host-mode port when Swarm rolls back, Swarm 20.10 waits a full minute for that replacement to end.
    pub progress_deadline: &'a str,
    pub ttl: &'a str,
    /// How long Swarm and Waggle each watch an update.
    pub monitor: &'a str,
    pub max_parallel: u16,
    pub stop_signal: &'a str,
}

impl<'a> Shop<'a> {
    pub fn good(image: &'a str) -> Shop<'a> {
        Shop {
            image,
            health: "/bin/wget -q -O /dev/null http://127.0.0.1:8080/health",
            progress_deadline: "150s",
            ttl: "2s",
            monitor: "1s",
            max_parallel: 1,
            stop_signal: "SIGTERM",
        }
    }

    /// Its health check always fails.
    pub fn bad(image: &'a str) -> Shop<'a> {
        Shop { health: "/bin/false", ..Shop::good(image) }
    }

    /// Good, with everything as short as it gets, so that a rollout takes little time.
    pub fn quick(image: &'a str) -> Shop<'a> {
        Shop { ttl: "1s", monitor: "300ms", max_parallel: 2, stop_signal: "SIGKILL", ..Shop::good(image) }
    }

    pub fn compose(&self) -> String {
        format!(
            r#"version: "3.8"
services:
  web:
    image: {image}
    command: ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"]
    ports:
      - {{target: 8080, published: 80, mode: host}}
    stop_grace_period: 1s
    stop_signal: {stop_signal}
    healthcheck:
      test: ["CMD", "/bin/sh", "-c", "{health}"]
      interval: 500ms
      timeout: 5s
      retries: 3
    deploy:
      endpoint_mode: dnsrr
      replicas: 1
      restart_policy: {{condition: any, delay: 200ms}}
      update_config: {{order: stop-first, failure_action: rollback, monitor: {monitor}}}
      rollback_config: {{order: stop-first, monitor: {monitor}}}
x-waggle:
  routes:
    - name: {ROUTE}
      service: web
      policy: nearest
      ttl: {ttl}
      check: {{http: {{path: /health, port: 80}}, interval: 300ms, timeout: 250ms}}
  promotion:
    max_parallel: {max_parallel}
    monitor: {monitor}
    progress_deadline: {deadline}
"#,
            image = self.image,
            health = self.health,
            ttl = self.ttl,
            monitor = self.monitor,
            max_parallel = self.max_parallel,
            stop_signal = self.stop_signal,
            deadline = self.progress_deadline,
        )
    }
}
