//! Which interpolated values become numbers or booleans (docker/cli `cli/compose/loader/interpolate.go`). Only a value that
//! interpolation changed is cast: a literal `replicas: "3"` stays a string, and an error.

use crate::yaml::Value;

#[derive(Clone, Copy)]
pub(super) enum Cast {
    Int,
    Float,
    Bool,
}

/// Paths as Docker writes them; `*` stands for any one key.
const CASTS: [(&str, Cast); 29] = [
    ("services.*.configs.[].mode", Cast::Int),
    ("services.*.secrets.[].mode", Cast::Int),
    ("services.*.healthcheck.retries", Cast::Int),
    ("services.*.healthcheck.disable", Cast::Bool),
    ("services.*.deploy.replicas", Cast::Int),
    ("services.*.deploy.update_config.parallelism", Cast::Int),
    ("services.*.deploy.update_config.max_failure_ratio", Cast::Float),
    ("services.*.deploy.rollback_config.parallelism", Cast::Int),
    ("services.*.deploy.rollback_config.max_failure_ratio", Cast::Float),
    ("services.*.deploy.restart_policy.max_attempts", Cast::Int),
    ("services.*.deploy.placement.max_replicas_per_node", Cast::Int),
    ("services.*.ports.[].target", Cast::Int),
    ("services.*.ports.[].published", Cast::Int),
    ("services.*.ulimits.*", Cast::Int),
    ("services.*.ulimits.*.hard", Cast::Int),
    ("services.*.ulimits.*.soft", Cast::Int),
    ("services.*.privileged", Cast::Bool),
    ("services.*.oom_score_adj", Cast::Int),
    ("services.*.read_only", Cast::Bool),
    ("services.*.stdin_open", Cast::Bool),
    ("services.*.tty", Cast::Bool),
    ("services.*.volumes.[].read_only", Cast::Bool),
    ("services.*.volumes.[].volume.nocopy", Cast::Bool),
    ("networks.*.external", Cast::Bool),
    ("networks.*.internal", Cast::Bool),
    ("networks.*.attachable", Cast::Bool),
    ("volumes.*.external", Cast::Bool),
    ("secrets.*.external", Cast::Bool),
    ("configs.*.external", Cast::Bool),
];

/// The cast of a path. A dot in a name counts as a separator, as with Docker: nothing of a service `a.b` is cast.
pub(super) fn of(path: &str) -> Option<Cast> {
    let matches = |pattern: &str| {
        let same = pattern.split('.').count() == path.split('.').count();
        same && pattern.split('.').zip(path.split('.')).all(|(wanted, part)| wanted == "*" || wanted == part)
    };
    CASTS.iter().find(|(pattern, _)| matches(pattern)).map(|(_, cast)| *cast)
}

impl Cast {
    /// `Err` says what was wanted.
    pub fn apply(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Cast::Int => text.parse::<i64>().map(|int| Value::Int(int.into())).map_err(|_| "an integer"),
            Cast::Float => {
                let float = text.parse::<f64>().ok().filter(|float| float.is_finite());
                float.map(Value::Float).ok_or("a number")
            }
            Cast::Bool => match text.to_lowercase().as_str() {
                "y" | "yes" | "true" | "on" => Ok(Value::Bool(true)),
                "n" | "no" | "false" | "off" => Ok(Value::Bool(false)),
                _ => Err("true or false"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_paths_of_the_table() {
        for (path, cast) in [
            ("services.a.deploy.replicas", true),
            ("services.a.ports.[].target", true),
            ("services.a.ulimits.nofile", true),
            ("services.a.b.deploy.replicas", false),
            ("services.a.deploy", false),
            ("x-a.deploy.replicas", false),
            ("services.a.init", false),
        ] {
            assert_eq!(of(path).is_some(), cast, "{path}");
        }
        assert_eq!(Cast::Int.apply("+5"), Ok(Value::Int(5)));
        assert_eq!(Cast::Bool.apply("ON"), Ok(Value::Bool(true)));
        assert!(Cast::Int.apply(" 5").is_err() && Cast::Bool.apply("1").is_err() && Cast::Float.apply("inf").is_err());
    }
}
