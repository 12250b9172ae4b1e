//! Who may connect and do what: users with hashed passwords, rules by topic, mosquitto's files.
