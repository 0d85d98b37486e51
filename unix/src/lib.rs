//! The system calls SkyNET needs, safely.
