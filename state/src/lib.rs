//! A participant's state folder.
