//! Command lines and environment blocks, as `CreateProcess` callers make them.

/// Joins arguments so that `CommandLineToArgvW` and the C run-time split them again.
///
/// Rules: Microsoft's "Parsing C command-line arguments": quotes where there is white space or nothing, backslashes
/// doubled in front of a quote.
pub fn join<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for argument in arguments {
        if !line.is_empty() {
            line.push(' ');
        }
        quote(&mut line, argument);
    }
    line
}

fn quote(line: &mut String, argument: &str) {
    if !argument.is_empty() && !argument.contains([' ', '\t', '\n', '\x0B', '"']) {
        line.push_str(argument);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for c in argument.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                line.extend(std::iter::repeat_n('\\', backslashes * 2 + 1));
                backslashes = 0;
                line.push('"');
            }
            _ => {
                line.extend(std::iter::repeat_n('\\', backslashes));
                backslashes = 0;
                line.push(c);
            }
        }
    }
    line.extend(std::iter::repeat_n('\\', backslashes * 2));
    line.push('"');
}

/// Makes an environment block: sorted without regard to case, as NT keeps it, a later value of a name replacing an
/// earlier one.
pub fn environment_block(variables: &[(String, String)]) -> Vec<u16> {
    let mut sorted: std::collections::BTreeMap<String, &(String, String)> = Default::default();
    for pair in variables {
        sorted.insert(pair.0.to_uppercase(), pair);
    }
    let mut block: Vec<u16> = sorted
        .values()
        .flat_map(|(name, value)| format!("{name}={value}\0").encode_utf16().collect::<Vec<_>>())
        .collect();
    if block.is_empty() {
        block.push(0);
    }
    block.push(0);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_follows_the_c_run_time() {
        let line = join(["a.exe", "b c", "", r#"say "hi""#, r"d:\x y\", r"plain\"]);
        assert_eq!(line, r#"a.exe "b c" "" "say \"hi\"" "d:\x y\\" plain\"#);
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let block = environment_block(&[pair("Path", "x"), pair("B", "1"), pair("PATH", "y")]);
        assert_eq!(String::from_utf16(&block).unwrap(), "B=1\0PATH=y\0\0");
        assert_eq!(environment_block(&[]), [0, 0]);
    }
}
