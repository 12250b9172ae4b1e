//! The index of the end-to-end tests: the real binary, devices on ptys, other people's MQTT clients.
//!
//! They need nothing that is installed by hand except for the tests of `clients` and `modbus`, which say so and are
//! skipped where Python, Node, mosquitto's programs or libmodbus are absent (with `CI=true` that is a failure).

mod support;

/// MQTT clients that we did not write.
mod clients {
    mod mosquitto;
    mod paho;

    /// What only our own broker can do, whichever is tested.
    mod own {
        mod access;
        mod mosquitto;
        mod reasons;
        mod story;
    }
}

/// What passes between the line and the topics.
mod ports {
    mod bus;
    mod checks;
    mod commands;
    mod device;
    mod dialogues;
    mod flood;
    mod frames;
    mod line;
    mod matrix;
    mod publishing;
    mod recordings;
    mod storm;
    mod unplug;
}

/// Modbus devices and masters that we did not write.
mod modbus {
    mod meters;
    mod served;
    mod slaves;
    mod twelve;
}

/// The process: how it starts and ends, and its other commands.
mod daemon {
    mod journal;
    mod lifecycle;
    mod reload;
    mod tools;
}

/// What the broker remembers when it is killed.
mod power {
    mod clients;
    mod link;
    mod rounds;
}

/// Clients that mean no good.
mod hostile {
    mod crowd;
    mod filters;
    mod floods;
    mod names;
    mod raw;
    mod states;
    mod witness;
}
