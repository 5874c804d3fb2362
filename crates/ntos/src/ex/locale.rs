//! The system's and the user's language: what the locale services report.

/// Locale and language settings; all are en-US until someone sets them.
#[derive(Clone, Copy, Debug)]
pub struct Locale {
    /// The system's default locale (LCID).
    pub system: u32,
    /// The user's default locale (LCID).
    pub user: u32,
    /// The user interface language (LANGID).
    pub ui_language: u16,
    /// The language that the system was installed with.
    pub install_language: u16,
}

/// `en-US`.
const ENGLISH_US: u16 = 0x409;

impl Default for Locale {
    fn default() -> Self {
        Locale {
            system: ENGLISH_US.into(),
            user: ENGLISH_US.into(),
            ui_language: ENGLISH_US,
            install_language: ENGLISH_US,
        }
    }
}
