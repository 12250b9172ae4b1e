//! Every profile that comes with mqttyd, against what third parties say that the bytes of its device mean.

mod commands;
mod corpus;
mod flips;
mod newcomers;
mod noise;
mod page;
mod streams;
mod words;
