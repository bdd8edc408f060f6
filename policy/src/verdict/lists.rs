//! Rule lists that flows were judged by: compiled once, not for each flow.

use std::{collections::HashMap, rc::Rc};

use crate::{
    compile::{DirectionSet, SetId},
    http::matcher::PatternError,
    l7::{self, RuleList},
    model::{Direction, HttpRule, Rule},
};

/// Rule lists of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    decided: HashMap<(SetId, Direction, Vec<usize>), Rc<Decided>>,
    /// By where the rule stands in memory: the world of a simulator stays where it is.
    of_rules: HashMap<usize, Rc<Compiled>>,
}

/// A compiled list; an error where a pattern is none, which it is in a parsed policy.
pub(crate) type Compiled = Result<RuleList, PatternError>;

/// The rules that decide on a flow.
#[derive(Debug)]
pub(crate) struct Decided {
    pub list: Compiled,
    /// Their policies.
    pub policies: Vec<String>,
}

impl Lists {
    /// The list of some rules of a set.
    pub fn decided(
        &mut self,
        set: SetId,
        direction: Direction,
        side: &DirectionSet,
        rules: &[usize],
    ) -> Rc<Decided> {
        let key = (set, direction, rules.to_vec());
        let made = self.decided.entry(key).or_insert_with(|| {
            let (rules, policies) = l7::owned(side, rules);
            Rc::new(Decided {
                list: RuleList::new(&rules),
                policies,
            })
        });
        Rc::clone(made)
    }

    /// The list of one rule's entries, of no policy.
    pub fn of_rule(&mut self, rule: &Rule, entries: &[HttpRule]) -> Rc<Compiled> {
        let place = std::ptr::from_ref(rule).addr();
        let made = self.of_rules.entry(place);
        Rc::clone(made.or_insert_with(|| Rc::new(RuleList::of_entries(entries))))
    }
}
