//! The time zones of `…\CurrentVersion\Time Zones`, as data.
//!
//! Key types: [`TimeZone`], [`Change`]. Names, offsets and rules are those of Windows's public time zone list and of the
//! IANA database's rules in force. The `MUI_…` values, which name the same texts in `tzres.dll`, are left out: readers
//! fall back to the texts.

/// When a clock changes: the `occurrence`th Sunday of a month (5 is the last), at an hour of local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// 1 to 12.
    pub month: u16,
    /// 1 to 4, or 5 for the last.
    pub occurrence: u16,
    /// Local time by the clock that is changed.
    pub hour: u16,
}

/// A time zone.
#[derive(Clone, Copy, Debug)]
pub struct TimeZone {
    /// The key's name.
    pub key: &'static str,
    /// Offset and places, for lists.
    pub display: &'static str,
    /// The name of daylight time; standard time has the key's name.
    pub daylight_name: &'static str,
    /// Minutes to add to local standard time to get UTC.
    pub bias: i32,
    /// When daylight time ends and begins, if there is any.
    pub changes: Option<(Change, Change)>,
}

impl TimeZone {
    /// The name of standard time.
    pub fn standard_name(&self) -> &'static str {
        if self.key == "UTC" { "Coordinated Universal Time" } else { self.key }
    }

    /// The value `TZI` (`REG_TZI_FORMAT`): biases, then the two changes as `SYSTEMTIME`.
    pub fn tzi(&self) -> Vec<u8> {
        let daylight_bias: i32 = if self.key == "UTC" { 0 } else { -60 };
        let mut out = Vec::with_capacity(44);
        for bias in [self.bias, 0, daylight_bias] {
            out.extend_from_slice(&bias.to_le_bytes());
        }
        let (end, begin) = self.changes.unzip();
        for change in [end, begin] {
            // Year 0 says that the day is counted by weeks; the day of the week is Sunday, 0.
            let fields = match change {
                Some(c) => [0, c.month, 0, c.occurrence, c.hour, 0, 0, 0],
                None => [0; 8],
            };
            fields.iter().for_each(|field| out.extend_from_slice(&field.to_le_bytes()));
        }
        out
    }
}

const fn change(month: u16, occurrence: u16, hour: u16) -> Change {
    Change { month, occurrence, hour }
}

type Changes = Option<(Change, Change)>;

const NONE: Changes = None;
const US: Changes = Some((change(11, 1, 2), change(3, 2, 2)));
const EU_WEST: Changes = Some((change(10, 5, 2), change(3, 5, 1)));
const EU: Changes = Some((change(10, 5, 3), change(3, 5, 2)));
const EU_EAST: Changes = Some((change(10, 5, 4), change(3, 5, 3)));
const AUSTRALIA: Changes = Some((change(4, 1, 3), change(10, 1, 2)));
const NEW_ZEALAND: Changes = Some((change(4, 1, 3), change(9, 5, 2)));

const fn zone(
    key: &'static str,
    daylight_name: &'static str,
    bias: i32,
    changes: Changes,
    display: &'static str,
) -> TimeZone {
    TimeZone { key, display, daylight_name, bias, changes }
}

/// The zones.
#[rustfmt::skip]
pub const TIME_ZONES: &[TimeZone] = &[
    zone("Hawaiian Standard Time", "Hawaiian Daylight Time", 600, NONE, "(UTC-10:00) Hawaii"),
    zone("Alaskan Standard Time", "Alaskan Daylight Time", 540, US, "(UTC-09:00) Alaska"),
    zone("Pacific Standard Time", "Pacific Daylight Time", 480, US, "(UTC-08:00) Pacific Time (US & Canada)"),
    zone("US Mountain Standard Time", "US Mountain Daylight Time", 420, NONE, "(UTC-07:00) Arizona"),
    zone("Mountain Standard Time", "Mountain Daylight Time", 420, US, "(UTC-07:00) Mountain Time (US & Canada)"),
    zone("Central America Standard Time", "Central America Daylight Time", 360, NONE, "(UTC-06:00) Central America"),
    zone("Central Standard Time", "Central Daylight Time", 360, US, "(UTC-06:00) Central Time (US & Canada)"),
    zone("Central Standard Time (Mexico)", "Central Daylight Time (Mexico)", 360, NONE, "(UTC-06:00) Guadalajara, Mexico City, Monterrey"),
    zone("SA Pacific Standard Time", "SA Pacific Daylight Time", 300, NONE, "(UTC-05:00) Bogota, Lima, Quito, Rio Branco"),
    zone("Eastern Standard Time", "Eastern Daylight Time", 300, US, "(UTC-05:00) Eastern Time (US & Canada)"),
    zone("Atlantic Standard Time", "Atlantic Daylight Time", 240, US, "(UTC-04:00) Atlantic Time (Canada)"),
    zone("E. South America Standard Time", "E. South America Daylight Time", 180, NONE, "(UTC-03:00) Brasilia"),
    zone("Argentina Standard Time", "Argentina Daylight Time", 180, NONE, "(UTC-03:00) City of Buenos Aires"),
    zone("UTC", "Coordinated Universal Time", 0, NONE, "(UTC) Coordinated Universal Time"),
    zone("GMT Standard Time", "GMT Daylight Time", 0, EU_WEST, "(UTC+00:00) Dublin, Edinburgh, Lisbon, London"),
    zone("Greenwich Standard Time", "Greenwich Daylight Time", 0, NONE, "(UTC+00:00) Monrovia, Reykjavik"),
    zone("W. Europe Standard Time", "W. Europe Daylight Time", -60, EU, "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"),
    zone("Central Europe Standard Time", "Central Europe Daylight Time", -60, EU, "(UTC+01:00) Belgrade, Bratislava, Budapest, Ljubljana, Prague"),
    zone("Romance Standard Time", "Romance Daylight Time", -60, EU, "(UTC+01:00) Brussels, Copenhagen, Madrid, Paris"),
    zone("Central European Standard Time", "Central European Daylight Time", -60, EU, "(UTC+01:00) Sarajevo, Skopje, Warsaw, Zagreb"),
    zone("W. Central Africa Standard Time", "W. Central Africa Daylight Time", -60, NONE, "(UTC+01:00) West Central Africa"),
    zone("GTB Standard Time", "GTB Daylight Time", -120, EU_EAST, "(UTC+02:00) Athens, Bucharest"),
    zone("FLE Standard Time", "FLE Daylight Time", -120, EU_EAST, "(UTC+02:00) Helsinki, Kyiv, Riga, Sofia, Tallinn, Vilnius"),
    zone("South Africa Standard Time", "South Africa Daylight Time", -120, NONE, "(UTC+02:00) Harare, Pretoria"),
    zone("Turkey Standard Time", "Turkey Daylight Time", -180, NONE, "(UTC+03:00) Istanbul"),
    zone("Arab Standard Time", "Arab Daylight Time", -180, NONE, "(UTC+03:00) Kuwait, Riyadh"),
    zone("Russian Standard Time", "Russian Daylight Time", -180, NONE, "(UTC+03:00) Moscow, St. Petersburg"),
    zone("E. Africa Standard Time", "E. Africa Daylight Time", -180, NONE, "(UTC+03:00) Nairobi"),
    zone("Iran Standard Time", "Iran Daylight Time", -210, NONE, "(UTC+03:30) Tehran"),
    zone("Arabian Standard Time", "Arabian Daylight Time", -240, NONE, "(UTC+04:00) Abu Dhabi, Muscat"),
    zone("Pakistan Standard Time", "Pakistan Daylight Time", -300, NONE, "(UTC+05:00) Islamabad, Karachi"),
    zone("India Standard Time", "India Daylight Time", -330, NONE, "(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi"),
    zone("Nepal Standard Time", "Nepal Daylight Time", -345, NONE, "(UTC+05:45) Kathmandu"),
    zone("Bangladesh Standard Time", "Bangladesh Daylight Time", -360, NONE, "(UTC+06:00) Dhaka"),
    zone("SE Asia Standard Time", "SE Asia Daylight Time", -420, NONE, "(UTC+07:00) Bangkok, Hanoi, Jakarta"),
    zone("China Standard Time", "China Daylight Time", -480, NONE, "(UTC+08:00) Beijing, Chongqing, Hong Kong, Urumqi"),
    zone("Singapore Standard Time", "Singapore Daylight Time", -480, NONE, "(UTC+08:00) Kuala Lumpur, Singapore"),
    zone("W. Australia Standard Time", "W. Australia Daylight Time", -480, NONE, "(UTC+08:00) Perth"),
    zone("Taipei Standard Time", "Taipei Daylight Time", -480, NONE, "(UTC+08:00) Taipei"),
    zone("Tokyo Standard Time", "Tokyo Daylight Time", -540, NONE, "(UTC+09:00) Osaka, Sapporo, Tokyo"),
    zone("Korea Standard Time", "Korea Daylight Time", -540, NONE, "(UTC+09:00) Seoul"),
    zone("AUS Central Standard Time", "AUS Central Daylight Time", -570, NONE, "(UTC+09:30) Darwin"),
    zone("E. Australia Standard Time", "E. Australia Daylight Time", -600, NONE, "(UTC+10:00) Brisbane"),
    zone("AUS Eastern Standard Time", "AUS Eastern Daylight Time", -600, AUSTRALIA, "(UTC+10:00) Canberra, Melbourne, Sydney"),
    zone("New Zealand Standard Time", "New Zealand Daylight Time", -720, NEW_ZEALAND, "(UTC+12:00) Auckland, Wellington"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacific_time_is_what_windows_says() {
        let zone = TIME_ZONES.iter().find(|zone| zone.key == "Pacific Standard Time").unwrap();
        let tzi = zone.tzi();
        let expected = "e001000000000000c4ffffff00000b0000000100020000000000000000000300000002000200000000000000";
        let hex: String = tzi.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
