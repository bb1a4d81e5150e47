use super::world::Observer;

#[test]
fn cases() {
    crate::script::check("health", 20, Observer::new);
}
