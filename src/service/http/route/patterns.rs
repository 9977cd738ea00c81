//! Many regular expressions as one, so that those which match a path are found without a look at
//! each.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use regex::Regex;
use regex_automata::hybrid::dfa::{Cache, DFA, OverlappingState};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind};

use super::literals::{Needed, needed};

/// So few expressions are tried one after the other.
const FEW: usize = 4;
/// Expressions that may need the same text. More of them are told apart by the automaton.
const SHARED_MAX: usize = 8;
/// Bytes of all texts: far more than routes have, and little enough to be built at once.
const TEXTS_SIZE_MAX: usize = 16 << 20;
/// Bytes of the automaton's program. If it were larger, its expressions are tried one by one.
const PROGRAM_MAX: usize = 64 << 20;
/// Bytes of the states that a worker has met, for each expression and in all.
const STATES_PER_EXPRESSION: usize = 16 << 10;
const STATES_MAX: usize = 8 << 20;
/// Bytes of paths that a state has to serve; if they serve fewer when the memory is full, no
/// further ones are made.
const BYTES_PER_STATE_MIN: usize = 10;

/// Expressions by number.
///
/// Most expressions need some text, as `^/users/[0-9]+$` needs `/users/`: one search finds all
/// texts of all expressions in a path, and only those whose text is there are tried. The others
/// are one automaton, whose states are made as paths need them, in bounded memory. Both look once
/// at each byte.
///
/// Where the automaton does not help (too large a program, hostile paths that would need new states
/// all the time), its expressions are tried one after the other, each in a time that grows no
/// faster than the path.
#[derive(Debug)]
pub struct Patterns {
    /// In order. What follows names an expression by its index here.
    numbers: Box<[u32]>,
    texts: Option<Texts>,
    /// Those that need no text, or a common one.
    others: Box<[u32]>,
    together: Option<Box<DFA>>,
}

#[derive(Debug)]
struct Texts {
    search: AhoCorasick,
    /// The expressions that need each text.
    needed_by: Vec<Box<[u32]>>,
}

/// What a search needs, to be used again.
#[derive(Debug, Default)]
pub struct PatternScratch {
    /// Expressions that may match; twice the index, and one more if it surely does.
    found: Vec<u32>,
    texts: Marks,
    others: Marks,
    /// The states of each automaton.
    caches: HashMap<usize, Cache>,
}

/// Numbers that were met in this search.
#[derive(Debug, Default)]
struct Marks {
    met: Vec<u32>,
    search: u32,
}

impl Marks {
    fn begin(&mut self, count: usize) {
        self.search = self.search.wrapping_add(1);
        if self.search == 0 {
            self.met.fill(0);
            self.search = 1;
        }
        if self.met.len() < count {
            self.met.resize(count, 0);
        }
    }

    /// Whether it is met for the first time.
    fn is_new(&mut self, number: usize) -> bool {
        let Some(met) = self.met.get_mut(number) else { return false };
        std::mem::replace(met, self.search) != self.search
    }
}

impl PatternScratch {
    /// One that need not grow for so many expressions.
    #[must_use]
    pub fn with_capacity(expressions: usize) -> Self {
        Self { found: Vec::with_capacity(expressions), ..Self::default() }
    }
}

impl Patterns {
    /// These expressions, by numbers in ascending order. They are as [`Regex::new`] makes them.
    #[must_use]
    pub fn new(expressions: &[(u32, &Regex)]) -> Self {
        let numbers = expressions.iter().map(|(number, _)| *number).collect();
        let all = || (0..expressions.len()).filter_map(|index| u32::try_from(index).ok());
        if expressions.len() <= FEW {
            return Self { numbers, texts: None, others: all().collect(), together: None };
        }
        let needed: Vec<_> = expressions.iter().map(|(_, regex)| needed(regex.as_str())).collect();
        let chosen = choose(&needed);
        let texts = Texts::new(&chosen);
        let is_other = |index: &u32| {
            texts.is_none() || chosen.get(*index as usize).is_none_or(Option::is_none)
        };
        let others: Box<[u32]> = all().filter(is_other).collect();
        let of_others = others.iter().filter_map(|index| expressions.get(*index as usize));
        let of_others: Vec<&str> = of_others.map(|(_, regex)| regex.as_str()).collect();
        let together = if of_others.len() > FEW { automaton(&of_others) } else { None };
        Self { numbers, texts, others, together }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The first one below `limit` that is found in the path and for which `holds` says so.
    /// `key` is the same for the same patterns, and another one for others that share a scratch.
    pub fn first<'r>(
        &self,
        key: usize,
        path: &str,
        limit: u32,
        scratch: &mut PatternScratch,
        regex: impl Fn(u32) -> Option<&'r Regex>,
        holds: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        if self.numbers.first().is_none_or(|first| *first >= limit) {
            return None;
        }
        scratch.found.clear();
        self.find_by_texts(path, scratch);
        self.find_others(key, path, scratch);
        scratch.found.sort_unstable();
        for one in &scratch.found {
            let number = *self.numbers.get((one / 2) as usize)?;
            if number >= limit {
                return None;
            }
            let is_found = one % 2 == 1;
            if holds(number) && (is_found || regex(number).is_some_and(|one| one.is_match(path))) {
                return Some(number);
            }
        }
        None
    }

    /// Whether [`Self::first_of_few`] does.
    #[must_use]
    pub const fn are_few(&self) -> bool {
        self.texts.is_none() && self.together.is_none()
    }

    /// The same as [`Self::first`], for those that are tried one after the other.
    pub fn first_of_few<'r>(
        &self,
        path: &str,
        limit: u32,
        regex: impl Fn(u32) -> Option<&'r Regex>,
        holds: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let is_found = |number: u32| regex(number).is_some_and(|regex| regex.is_match(path));
        let below = self.numbers.iter().copied().take_while(|number| *number < limit);
        below.into_iter().find(|number| holds(*number) && is_found(*number))
    }

    fn find_by_texts(&self, path: &str, scratch: &mut PatternScratch) {
        let Some(texts) = &self.texts else { return };
        let PatternScratch { found, texts: marks, others, .. } = scratch;
        marks.begin(texts.needed_by.len());
        others.begin(self.numbers.len());
        for text in texts.search.find_overlapping_iter(path) {
            let text = text.pattern().as_usize();
            if marks.is_new(text) {
                let all = texts.needed_by.get(text).into_iter().flatten();
                let new = all.filter(|index| others.is_new(**index as usize));
                found.extend(new.map(|index| 2 * index));
            }
        }
    }

    fn find_others(&self, key: usize, path: &str, scratch: &mut PatternScratch) {
        let known = scratch.found.len();
        if let Some(dfa) = &self.together {
            if self.run(dfa, key, path, scratch).is_some() {
                return;
            }
            scratch.found.truncate(known);
        }
        scratch.found.extend(self.others.iter().map(|index| 2 * index));
    }

    /// Runs the automaton. `None` if it gave up.
    fn run(&self, dfa: &DFA, key: usize, path: &str, scratch: &mut PatternScratch) -> Option<()> {
        let PatternScratch { found, others: marks, caches, .. } = scratch;
        let cache = caches.entry(key).or_insert_with(|| dfa.create_cache());
        marks.begin(self.others.len());
        let mut state = OverlappingState::start();
        let input = Input::new(path);
        // An expression may match at each byte. Tried by itself, it would end with the first.
        let mut steps = 4 * self.others.len() + path.len();
        loop {
            dfa.try_search_overlapping_fwd(cache, &input, &mut state).ok()?;
            let Some(one) = state.get_match() else { return Some(()) };
            let one = one.pattern().as_usize();
            if marks.is_new(one) {
                found.push(2 * self.others.get(one)? + 1);
            }
            steps = steps.checked_sub(1)?;
        }
    }
}

impl Texts {
    /// The texts that were chosen for each expression; `None` if there are none.
    fn new(chosen: &[Option<&Needed>]) -> Option<Self> {
        let mut texts: Vec<&[u8]> = Vec::new();
        let mut needed_by: Vec<Vec<u32>> = Vec::new();
        let mut known: HashMap<&[u8], usize> = HashMap::new();
        for (index, needed) in (0..).zip(chosen) {
            for text in needed.iter().flat_map(|needed| needed.iter()) {
                let place = *known.entry(text).or_insert_with(|| {
                    texts.push(text);
                    needed_by.push(Vec::new());
                    texts.len() - 1
                });
                needed_by[place].push(index);
            }
        }
        let size: usize = texts.iter().map(|text| text.len()).sum();
        if texts.is_empty() || size > TEXTS_SIZE_MAX {
            return None;
        }
        let search = AhoCorasick::new(&texts).ok()?;
        Some(Self { search, needed_by: needed_by.into_iter().map(Into::into).collect() })
    }
}

/// For each expression the texts that fewest others may need, if they tell it from most.
fn choose(needed: &[Vec<Needed>]) -> Vec<Option<&Needed>> {
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    for texts in needed.iter().flatten().flatten() {
        *counts.entry(texts).or_default() += 1;
    }
    let score = |texts: &&Needed| {
        let shared = texts.iter().filter_map(|text| counts.get(text.as_slice())).max();
        let shortest = texts.iter().map(Vec::len).min();
        (shared.copied().unwrap_or(usize::MAX), std::cmp::Reverse(shortest))
    };
    let best = needed.iter().map(|sets| sets.iter().min_by_key(score));
    best.map(|best| best.filter(|best| score(best).0 <= SHARED_MAX)).collect()
}

/// All expressions as one automaton, unless it would be too large.
fn automaton(expressions: &[&str]) -> Option<Box<DFA>> {
    let program = thompson::Config::new()
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(PROGRAM_MAX));
    let program = thompson::Compiler::new().configure(program).build_many(expressions).ok()?;
    let states = expressions.len().saturating_mul(STATES_PER_EXPRESSION).min(STATES_MAX);
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .unicode_word_boundary(true)
        .cache_capacity(states)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0))
        .minimum_bytes_per_state(Some(BYTES_PER_STATE_MIN));
    DFA::builder().configure(config).build_from_nfa(program).ok().map(Box::new)
}
