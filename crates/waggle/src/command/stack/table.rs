//! Stacks for people.

use crate::output::{Cell, Style, Table};
use waggle_control::api::types::StackView;

pub fn table(stacks: &[StackView]) -> Table {
    let mut table = Table::new(&["STACK", "SERVICES", "ROUTES", "RELEASE", "UP TO DATE", "ROLLOUT"]);
    for stack in stacks {
        let style = if stack.converged == stack.clusters { Style::Good } else { Style::Warning };
        let routes: Vec<&str> = stack.routes.iter().map(|name| name.as_str()).collect();
        table.row([
            stack.name.as_str().into(),
            stack.services.to_string().into(),
            routes.join(", ").into(),
            stack.release.map(|id| id.short()).unwrap_or_default().into(),
            Cell::new(format!("{}/{}", stack.converged, stack.clusters), style),
            match (stack.removing, stack.rollout) {
                (true, _) => Cell::new("being removed", Style::Warning),
                (false, Some(id)) => id.to_string().into(),
                (false, None) => "".into(),
            },
        ]);
    }
    table
}
