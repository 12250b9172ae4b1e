//! What survives the end of the process: retained messages and sessions, on disk.
