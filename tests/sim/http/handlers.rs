//! A program's handlers in the simulation: they give bodies back, at once or later, as threads of
//! their own would, and some of them fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ringway::handler::{
    Answer, AnswerError, BodyReceiver, HttpHandler, HttpHandlers, HttpRequest, Reading, Response,
};
use ringway::proto::http::Fields;
use ringway::ring::sim::Random;

/// Bytes that wait at most before the client is to stop.
const WAITING_MAX: usize = 1_000;

/// What the program does later, as if by another thread.
#[derive(Clone, Default)]
pub(super) struct Later(Arc<Mutex<Vec<Action>>>);

type Action = Box<dyn FnOnce() + Send>;

impl Later {
    fn push(&self, action: impl FnOnce() + Send + 'static) {
        self.0.lock().expect("no panic while it is held").push(Box::new(action));
    }

    /// Does some of it. Whether anything is left or was done.
    pub(super) fn play(&self, random: &mut Random) -> bool {
        let mut all = std::mem::take(&mut *self.0.lock().expect("no panic while it is held"));
        let is_some = !all.is_empty();
        while !all.is_empty() && random.chance(600) {
            let action = all.swap_remove(random.below(all.len()));
            action();
        }
        self.0.lock().expect("no panic while it is held").extend(all);
        is_some
    }
}

pub(super) fn handlers(seed: u64, later: &Later) -> HttpHandlers {
    let later = later.clone();
    HttpHandlers::new().with("sim", move || Program {
        random: Random::new(seed ^ 0x6861_6e64),
        later: later.clone(),
    })
}

struct Program {
    random: Random,
    later: Later,
}

impl HttpHandler for Program {
    fn handle(
        &mut self,
        request: &HttpRequest<'_>,
        answer: Answer,
    ) -> Option<Box<dyn BodyReceiver>> {
        let breaks = request.path().starts_with("/broken") && self.random.chance(700);
        let state = State {
            answer: Some(answer),
            length: request.length.filter(|_| self.random.chance(500)),
            breaks_at: breaks.then(|| self.random.below(3_000)),
            is_begun: false,
            waiting: VecDeque::new(),
            given: 0,
            is_paused: false,
            has_ended: false,
            random: Random::new(self.random.below(1 << 30) as u64),
        };
        let state = Arc::new(Mutex::new(state));
        if request.length == Some(0) && self.random.chance(500) {
            // It needs nobody who takes its body.
            state.lock().expect("no panic while it is held").has_ended = true;
            self.later.push(move || state.lock().expect("no panic while it is held").proceed());
            return None;
        }
        Some(Box::new(Back { state, later: self.later.clone() }))
    }
}

/// Gives a body back.
struct Back {
    state: Arc<Mutex<State>>,
    later: Later,
}

struct State {
    /// `None`: it was given.
    answer: Option<Answer>,
    /// What the head tells of the body's length.
    length: Option<u64>,
    /// It fails when so many bytes were given.
    breaks_at: Option<usize>,
    is_begun: bool,
    waiting: VecDeque<u8>,
    given: usize,
    is_paused: bool,
    has_ended: bool,
    random: Random,
}

impl State {
    fn proceed(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        if self.breaks_at.is_some_and(|at| self.given >= at || self.has_ended) {
            match self.random.below(3) {
                0 => self.answer.take().into_iter().for_each(|answer| answer.fail("to be tried")),
                // It is shorter than its head says.
                1 if self.length.is_some_and(|length| (self.given as u64) < length) => {
                    self.answer.take().into_iter().for_each(Answer::end);
                }
                _ => self.answer = None,
            }
            return;
        }
        if !std::mem::replace(&mut self.is_begun, true) {
            let mut response = Response::new(200);
            if let Some(length) = self.length {
                response = response.with_length(length);
            }
            if answer.begin(response).is_err() {
                self.answer = None;
                return;
            }
        }
        while !self.waiting.is_empty() {
            let count = 1 + self.random.below(self.waiting.len().min(700));
            let part: Vec<u8> = self.waiting.iter().take(count).copied().collect();
            match answer.part(part) {
                Ok(()) => drop(self.waiting.drain(..count)),
                Err(AnswerError::Full(_)) => return,
                Err(AnswerError::Gone) => {
                    self.answer = None;
                    return;
                }
                Err(AnswerError::Order) => panic!("a part belongs here"),
            }
            self.given += count;
        }
        if std::mem::take(&mut self.is_paused) {
            answer.resume();
        }
        if self.has_ended {
            self.answer.take().into_iter().for_each(Answer::end);
        }
    }
}

impl Back {
    /// Goes on at once, or later.
    fn proceed(&self) {
        let mut state = self.state.lock().expect("no panic while it is held");
        if state.random.chance(500) {
            return state.proceed();
        }
        let state = Arc::clone(&self.state);
        self.later.push(move || state.lock().expect("no panic while it is held").proceed());
    }
}

impl BodyReceiver for Back {
    fn part(&mut self, part: &[u8]) -> Reading {
        self.state.lock().expect("no panic while it is held").waiting.extend(part);
        self.proceed();
        let mut state = self.state.lock().expect("no panic while it is held");
        state.is_paused = state.waiting.len() >= WAITING_MAX;
        if state.is_paused { Reading::Paused } else { Reading::On }
    }

    fn end(&mut self, _trailers: Option<&Fields>) {
        self.state.lock().expect("no panic while it is held").has_ended = true;
        self.proceed();
    }

    fn room(&mut self) {
        self.proceed();
    }
}
