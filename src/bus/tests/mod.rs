//! The master against a line that is made up: time is an argument, so a thousand faults take no time.

mod commands;
mod dialogues;
mod faults;
mod line;
mod listening;
mod pauses;
mod sharing;
mod steps;
mod turning;
