//! Which rules fit a path: the cost of that grows with the path and with what fits, not with the
//! number of rules, also where all of them begin alike.
//!
//! Texts are found by hash, and so is what everything below a text matches (`/public/.*`). Patterns
//! of whole segments are routes of matchit, one router for each shape. All others are matched
//! together by one automaton (`docs/decisions/0038-paths.md`).

use std::collections::BTreeSet;

use matchit::Router;
use rustc_hash::FxHashMap;

use super::{
    compiled::{Compiled, Lazy, Pattern},
    many::Many,
    template::Template,
};

/// Routers are asked one after the other: patterns of more shapes go to the automaton.
const SHAPES: usize = 16;
/// Patterns of one route that match less than it, tried one after the other: more of them go to the
/// automaton.
const NARROWER: usize = 4;

/// Rules by their paths.
#[derive(Debug)]
pub(super) struct Paths {
    /// Rules without a path.
    any: Group,
    // Hashed quickly: policy chooses the keys, requests only look them up.
    texts: FxHashMap<String, Group>,
    /// By the text before `.*`.
    below: FxHashMap<String, Group>,
    below_lengths: BTreeSet<usize>,
    routers: Vec<(Vec<bool>, Routes)>,
    many: Many,
    groups: Vec<Group>,
}

/// The routes of one shape.
#[derive(Debug, Default)]
struct Routes {
    router: Router<usize>,
    /// Places in `patterns`.
    places: FxHashMap<String, usize>,
    patterns: Vec<Vec<Narrower>>,
}

/// A pattern of a route.
#[derive(Debug)]
struct Narrower {
    pattern: Lazy,
    /// It matches all that the route fits, where no segment is empty.
    exact: bool,
    group: Group,
}

/// Rules of one pattern, in order, those apart that are about one host.
#[derive(Debug, Default)]
pub(super) struct Group {
    rules: Vec<usize>,
    of_host: FxHashMap<String, Vec<usize>>,
}

// === impl Paths ===

impl Paths {
    pub fn new(rules: &[Compiled]) -> Self {
        let mut paths = Self {
            any: Group::default(),
            texts: FxHashMap::default(),
            below: FxHashMap::default(),
            below_lengths: BTreeSet::new(),
            routers: Vec::new(),
            many: Many::new(Vec::new()),
            groups: Vec::new(),
        };
        let mut patterns: FxHashMap<&str, Group> = FxHashMap::default();
        for (index, rule) in rules.iter().enumerate() {
            let group = match &rule.path {
                None => &mut paths.any,
                Some(Pattern::Literal(text)) => paths.texts.entry(text.clone()).or_default(),
                Some(Pattern::Prefix(text)) => paths.below.entry(text.clone()).or_default(),
                Some(Pattern::Regex(lazy)) => patterns.entry(&lazy.source).or_default(),
            };
            group.add(index, rule);
        }
        paths.below_lengths = paths.below.keys().map(String::len).collect();
        let mut many = Vec::new();
        for (source, group) in patterns {
            if let Some(group) = paths.route(source, group) {
                many.push(Lazy::new(source));
                paths.groups.push(group);
            }
        }
        paths.many = Many::new(many);
        paths
    }

    /// Takes a pattern in as a route; gives its rules back where it cannot be one.
    fn route(&mut self, source: &str, group: Group) -> Option<Group> {
        let Some(template) = Template::of(source) else {
            return Some(group);
        };
        let known = self
            .routers
            .iter()
            .position(|(of, _)| *of == template.shape);
        let at = match known {
            Some(at) => at,
            None if self.routers.len() < SHAPES => {
                self.routers
                    .push((template.shape.clone(), Routes::default()));
                self.routers.len() - 1
            }
            None => return Some(group),
        };
        match self.routers.get_mut(at) {
            Some((_, routes)) => routes.add(source, &template, group),
            None => Some(group),
        }
    }

    /// Calls back with the rules of every pattern that matches a path (`None`: there is no path).
    pub fn matching(&self, path: Option<&str>, mut found: impl FnMut(&Group)) {
        found(&self.any);
        let Some(path) = path else {
            return;
        };
        self.texts.get(path).into_iter().for_each(&mut found);
        // `.` does not match a line feed.
        if !path.contains('\n') {
            for length in self.below_lengths.range(..=path.len()) {
                let start = path.get(..*length).and_then(|start| self.below.get(start));
                start.into_iter().for_each(&mut found);
            }
        }
        for (_, routes) in &self.routers {
            routes.matching(path, &mut found);
        }
        self.many.matching(path, |place| {
            self.groups.get(place).into_iter().for_each(&mut found);
        });
    }

    /// Makes what the first request would make.
    pub fn prepare(&self) {
        self.many.prepare();
    }
}

// === impl Routes ===

impl Routes {
    fn add(&mut self, source: &str, template: &Template, group: Group) -> Option<Group> {
        let new = Narrower {
            pattern: Lazy::new(source),
            exact: template.exact,
            group,
        };
        if let Some(place) = self.places.get(&template.route) {
            return match self.patterns.get_mut(*place) {
                Some(of_route) if of_route.len() < NARROWER => {
                    of_route.push(new);
                    None
                }
                _ => Some(new.group),
            };
        }
        // Routes of one shape are equal or disjoint: none is in the way of another.
        let place = self.patterns.len();
        if self.router.insert(&*template.route, place).is_err() {
            return Some(new.group);
        }
        self.places.insert(template.route.clone(), place);
        self.patterns.push(vec![new]);
        None
    }

    fn matching(&self, path: &str, mut found: impl FnMut(&Group)) {
        let Ok(route) = self.router.at(path) else {
            return;
        };
        // A wildcard of matchit's may be empty.
        let empty = path.contains("//") || path.ends_with('/');
        for one in self.patterns.get(*route.value).into_iter().flatten() {
            if (one.exact && !empty) || one.pattern.matches(path) {
                found(&one.group);
            }
        }
    }
}

// === impl Group ===

impl Group {
    fn add(&mut self, index: usize, rule: &Compiled) {
        match &rule.host {
            Some(Pattern::Literal(host)) => {
                self.of_host.entry(host.clone()).or_default().push(index);
            }
            _ => self.rules.push(index),
        }
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = usize> + '_ {
        let of_hosts = self.of_host.values().flatten();
        self.rules.iter().chain(of_hosts).copied()
    }

    /// The rules that may fit a host, in two lists, each in order.
    pub fn of_host(&self, host: Option<&str>) -> [&[usize]; 2] {
        let of_host = host.and_then(|host| self.of_host.get(host));
        [&self.rules, of_host.map_or(&[], Vec::as_slice)]
    }
}
