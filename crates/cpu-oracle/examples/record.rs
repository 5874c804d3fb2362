//! Writes lines of an instruction table: reads `bytes | inputs | undefined flags` from standard input, runs each on
//! the host, and prints what came out in the format of [`cpu_oracle::table`].

use std::io::{self, BufRead};

use cpu_oracle::{HostCpu, table};

fn main() -> io::Result<()> {
    let mut host = HostCpu::start()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut parts = line.splitn(3, '|');
        let (Some(bytes), Some(inputs)) = (parts.next(), parts.next()) else { continue };
        let undefined = parts.next().unwrap_or_default().trim();
        let made = table::parse_case(bytes, inputs).and_then(|case| {
            let undefined = if undefined.is_empty() { 0 } else { table::flags(undefined)? };
            Ok((case, undefined))
        });
        match made {
            Ok((case, undefined)) => {
                println!("{}", table::record(inputs, &case, &host.run_one(&case)?, undefined));
            }
            Err(error) => eprintln!("{line}: {error}"),
        }
    }
    Ok(())
}
