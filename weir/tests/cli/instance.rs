//! The name of an instance is one thing for every command that takes it.

use crate::common::weir;

#[test]
fn a_name_that_one_command_refuses_all_refuse() {
    let long = "x".repeat(70);
    for name in [&long, "a/b", "a b", ".."] {
        for command in [
            "proxy",
            "status",
            "observe",
            "cleanup",
            "agent --manifests .",
        ] {
            let ran = weir(&format!("{command} --name '{name}'"));
            assert_ne!(ran.code, 0, "{command} {name}");
            let wanted = format!("`{name}` is not an instance name: 1 to 64 letters");
            assert!(ran.err.contains(&wanted), "{command}: {}", ran.err);
        }
    }
}
