//! From the route plan in force to the next: what is said about the step, and whether it takes too much away.

use super::{ActivateError, Loaded};
use waggle_model::fleet_state::State;
use waggle_model::plan::RoutePlan;
use waggle_model::plan::intake::{self, Change, Force, TooMuchLost};
use waggle_model::{Generation, StackName, Timestamp, federate};

/// What to do about a plan that is held back.
pub const WAY_OUT: &str = "nameservers go on with the last one; undo the change, make it in steps, or say that it is meant \
                           with `waggle apply -f FILE --force`";

/// `built` as the plan after the one in force. `whole` holds the stacks on their way out as well.
pub(super) fn after(
    loaded: &Loaded,
    whole: &State,
    mut built: RoutePlan,
) -> Result<Result<RoutePlan, TooMuchLost>, ActivateError> {
    let Some(before) = loaded.route_plan()? else { return Ok(Ok(built)) };
    let leaving = federate::leaving(whole, &removing(loaded), &before);
    built.change = Change::following(&before, &built, leaving);
    if let Some(force) = &loaded.force {
        let (by, reason) = (force.by.clone(), force.reason.clone());
        built.change.force = Some(Force { generation: built.generation, by, reason });
    }
    Ok(intake::check(&before, Generation(0), &built).map(|()| built))
}

/// What the plan that follows from `state` would take away too much of, if so: for those who are about to change
/// something.
pub fn too_much_lost(loaded: &Loaded, state: &State, now: Timestamp) -> Result<Option<TooMuchLost>, ActivateError> {
    let mut serving = state.clone();
    serving.stacks.retain(|name, _| loaded.stacks.get(name).is_none_or(|stack| stack.removing.is_none()));
    let (built, _) = federate::route_plan(&serving, now);
    let built = super::steer::in_force(loaded, &serving, built, now);
    let built = RoutePlan { generation: loaded.plan_generation().next(), ..built };
    Ok(after(loaded, state, built)?.err())
}

fn removing(loaded: &Loaded) -> std::collections::BTreeMap<StackName, String> {
    let removing = loaded.stacks.iter().filter_map(|(name, stack)| Some((name, stack.removing.as_ref()?)));
    removing.map(|(name, removing)| (name.clone(), removing.by.clone())).collect()
}
