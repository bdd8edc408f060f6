"""Each fault that the plan of the house forbids, made in a small tree, is told; a good tree is not."""

import os
import subprocess
import tempfile
import unittest

import crates
import pages
import rooms
import tree
from check import wrong

GOOD = {
    "Cargo.toml": '[workspace]\nmembers = ["link", "weir"]\n[workspace.dependencies]\nserde = "1"\n',
    "link/Cargo.toml": '[package]\nname = "weir-link"\n[dependencies]\nserde.workspace = true\n[lints]\nworkspace = true\n',
    "link/src/lib.rs": "//! Types.\n#![forbid(unsafe_code)]\nmod status;\n",
    "link/src/status.rs": "//! A status.\n#[derive(Debug, Deserialize)]\n#[serde(default)]\npub struct Status {\n    pub revision: u64,\n    pub pods: u64,\n    pub wrong: bool,\n    pub since: u64,\n}\n",
    "weir/Cargo.toml": '[package]\nname = "weir"\n[dependencies]\nserde = { workspace = true }\n[lints]\nworkspace = true\n',
    "weir/src/main.rs": "//! The binary.\n#![forbid(unsafe_code)]\nmod status_command;\n",
    "weir/src/status_command.rs": "//! Shows a status.\nfn main() {}\n",
    "README.md": f"`link/src/status.rs`\n{crates.BEGIN}{crates.END}",
    "docs/decisions/1.md": "It was in `link/src/gone.rs`.\n",
}
GRAPH = {"link": {"serde"}, "weir": {"link"}}


class House(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        subprocess.run(["git", "init", "--quiet", self.root], check=True)
        for path, text in GOOD.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def change(self, path: str, old: str, new: str) -> None:
        self.assertIn(old, GOOD[path])
        self.write(path, GOOD[path].replace(old, new))

    def told(self, *words: str) -> None:
        """One thing is wrong, and it is told with these words."""
        here = tree.Tree(self.root)
        said = [*tree.check(here), *crates.manifests(here), *crates.root_tests(here), *rooms.check(here), *pages.check(here)]
        self.assertEqual(len(said), 1 if words else 0, said)
        for word in words:
            self.assertIn(word, said[0])

    def test_a_good_tree_is_good(self) -> None:
        self.told()

    def test_a_file_that_no_module_names(self) -> None:
        self.write("link/src/lost.rs", "//! Lost.\n")
        self.told("link/src/lost.rs", "nobody compiles it")

    def test_a_file_without_a_purpose(self) -> None:
        self.change("link/src/status.rs", "//! A status.\n", "")
        self.told("link/src/status.rs", "first line")

    def test_a_file_too_long_to_read(self) -> None:
        self.write("link/src/status.rs", "//! Long.\n" + "fn f() {}\n" * (tree.LONGEST + 1))
        self.told("lines of code")

    def test_a_test_that_does_not_run(self) -> None:
        self.write("link/tests/later.rs", "//! Later.\n#[ignore]\n")
        self.told("link/tests/later.rs:2", "#[ignore]")

    def test_lints_that_are_off(self) -> None:
        self.change("link/Cargo.toml", "workspace = true\n[lints]\nworkspace = true", "workspace = true\n")
        self.told("link/Cargo.toml", "lints")

    def test_a_version_of_its_own(self) -> None:
        self.change("link/Cargo.toml", "serde.workspace = true", 'serde = "1"')
        self.told("link/Cargo.toml", "serde", "[workspace.dependencies]")

    def test_a_version_that_another_workspace_has_otherwise(self) -> None:
        self.write("fuzz/Cargo.toml", '[package]\nname = "weir-fuzz"\n[dependencies]\nserde = "2"\n[lints]\nworkspace = true\n')
        self.told("fuzz/Cargo.toml", "serde is 2")

    def test_a_test_left_out_that_is_not_there(self) -> None:
        listed = "[package.metadata.weir.root-tests]\n"
        self.write("link/tests/live.rs", "//! Live.\nfn it_lives() {}\n")
        self.write("link/Cargo.toml", GOOD["link/Cargo.toml"] + listed + 'live = ["it_lives"]\n')
        self.told()
        self.write("link/Cargo.toml", GOOD["link/Cargo.toml"] + listed + 'live = ["it_died"]\n')
        self.told("link/Cargo.toml", "it_died")
        self.write("link/Cargo.toml", GOOD["link/Cargo.toml"] + listed + "gone = []\n")
        self.told("link/Cargo.toml", "gone")

    def test_a_crate_that_does_not_forbid_unsafe(self) -> None:
        self.change("weir/src/main.rs", "#![forbid(unsafe_code)]\n", "")
        self.told("weir/src/main.rs", "forbid(unsafe_code)")

    def test_a_module_of_the_binary_that_is_no_command(self) -> None:
        self.change("weir/src/main.rs", "mod status_command;", "mod status_command;\nmod order;")
        self.write("weir/src/order.rs", "//! The order of a change.\n")
        self.told("weir/src/order.rs", "logic")

    def test_logic_in_a_command(self) -> None:
        for line in ("impl Agent {}", "#[test]", "#[derive(Deserialize)]", "unsafe {}"):
            with self.subTest(line):
                self.write("weir/src/status_command.rs", f"//! A command.\n{line}\n")
                self.told("weir/src/status_command.rs")

    def test_a_binary_that_grows(self) -> None:
        count = rooms.WHOLE // 9 + 1
        names = [f"x{number}_command" for number in range(10)]
        self.write("weir/src/main.rs", "//! The binary.\n#![forbid(unsafe_code)]\n" + "".join(f"mod {name};\n" for name in names) + "mod status_command;\n")
        for name in names:
            self.write(f"weir/src/{name}.rs", "//! A command.\n" + "fn f() {}\n" * min(count, tree.LONGEST))
        self.told("weir/src/: ", "commands and wiring")

    def test_a_type_of_the_protocol_declared_again(self) -> None:
        self.write("lab/src/lib.rs", "//! A lab.\n#[derive(Deserialize)]\nstruct Status {\n    revision: u64,\n}\n")
        self.told("lab/src/lib.rs", "Status", "link/src/status.rs")

    def test_a_type_of_the_protocol_under_another_name(self) -> None:
        self.write("lab/src/lib.rs", "//! A lab.\n#[derive(Default, Deserialize)]\n/// It.\npub struct Said {\n    revision: u64,\n    pub wrong: bool,\n    pods: u64,\n}\n")
        self.told("lab/src/lib.rs", "Said repeats Status")

    def test_what_only_says_which_object_is_meant_is_no_protocol(self) -> None:
        fields = "    kind: u8,\n    name: u8,\n    namespace: u8,\n"
        self.write("link/src/status.rs", f"//! It.\n#[derive(Deserialize)]\npub struct Policy {{\n{fields}    wrong: u8,\n}}\n")
        self.write("lab/src/lib.rs", f"//! A lab.\n#[derive(Deserialize)]\nstruct Key {{\n{fields}}}\n")
        self.told()

    def test_a_page_that_names_what_is_not_there(self) -> None:
        self.write("docs/page.md", "See `link/src/gone.rs`, `link/src/` and `link/NAME/`.\n")
        self.told("docs/page.md", "link/src/gone.rs")

    def test_a_link_that_leads_nowhere(self) -> None:
        self.write("docs/page.md", "# A page\n## What it *needs*, and why\n[it](#what-it-needs-and-why) [that](https://example.org)\n")
        self.told()
        for target in ("gone.md", "#gone", "page.md#gone"):
            with self.subTest(target):
                self.write("docs/other.md", f"# Other\n[it]({target})\n")
                self.told("docs/other.md", target.split("#")[-1])


class Graph(unittest.TestCase):
    def test_an_arrow_that_the_design_does_not_have(self) -> None:
        self.assertEqual(list(crates.arrows(GRAPH)), [])
        self.assertIn("proxy uses redirector", "".join(crates.arrows({"proxy": {"redirector"}, "redirector": set()})))

    def test_a_crate_that_nobody_planned(self) -> None:
        self.assertIn("extra", "".join(crates.arrows({"extra": set()})))

    def test_aya_above_the_redirector(self) -> None:
        self.assertIn("observe names aya", "".join(crates.arrows({"observe": {"aya"}})))

    def test_the_drawing_follows_the_graph(self) -> None:
        self.assertIn("    weir --> link\n", crates.drawn(GRAPH))
        self.assertNotIn("link", crates.drawn({"link": set(), "weir": set()}))


class Real(unittest.TestCase):
    def test_what_is_pending_and_done_is_told(self) -> None:
        here = tree.Tree(tree.ROOT)
        said = wrong(here, crates.metadata(here.root), ["a room that nobody ever saw"])
        self.assertIn("take it off PENDING", said[-1])


if __name__ == "__main__":
    unittest.main()
