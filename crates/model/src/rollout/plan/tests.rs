use super::world::Fleet;

#[test]
fn cases() {
    crate::script::check("rollout", 25, Fleet::new);
}
