//! Audio files to 16 kHz mono, log-mel features, voice activity.
