//! The list of sites: one address a line, with tags; or CSV with a header. Text in, sites out.
//!
//! Out of scope: reading the file. Every bad line is named, not only the first, because a list of thousands of lines
//! is mended in one go. What a site's registrable domain is decides who is visited politely; an address by number or
//! a name such as `localhost` is its own domain.

use std::{collections::HashMap, fmt};
use url::{Host, Url};

/// A site to inspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The address, as URLs are written out in full.
    pub url: Url,
    /// The registrable domain, by which visits are paced.
    pub domain: String,
    /// The country, if the list says so.
    pub country: Option<String>,
    /// Tags, each once, in the order given.
    pub tags: Vec<String>,
}

/// An address that stands on the list more than once. It is inspected once, with the tags of all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The line.
    pub line: usize,
    /// The line on which the address stood first.
    pub first: usize,
    /// The address.
    pub url: String,
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}` stands on line {} already and is inspected once", self.line, self.url, self.first)
    }
}

/// A list of sites.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// The sites, each address once, in the order of the list.
    pub sites: Vec<Site>,
    /// Addresses that stand on it again.
    pub duplicates: Vec<Duplicate>,
}

/// A line that names no site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadLine {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it, in one sentence.
    pub why: String,
}

/// A list that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Lines that name no site, all of them.
    #[error("{}", each(.0))]
    Bad(Vec<BadLine>),
    /// Nothing but comments.
    #[error("the list names no site; expected one address a line, for instance `https://example.org/`")]
    Empty,
}

fn each(lines: &[BadLine]) -> String {
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl List {
    /// Reads a list.
    ///
    /// Lines that are empty or begin with `#` are passed over. What follows the address on its line, separated by
    /// commas, are tags. If the first line names its columns (`url,country,tags`), then `country` is the country,
    /// `tag` and `tags` hold tags separated by semicolons, and any other column, say `sector`, makes a tag of its name
    /// and value (`sector=press`); values beyond the header are tags. Quotes are those of RFC 4180, without line ends
    /// in them.
    ///
    /// # Errors
    ///
    /// [`ListError::Bad`] with every line that names no site, or [`ListError::Empty`].
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut columns: Option<Vec<Column>> = None;
        let mut list = Self::default();
        let mut seen: HashMap<String, (usize, usize)> = HashMap::new();
        let mut bad = Vec::new();
        let mut first = true;
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let read = fields(line).and_then(|fields| {
                if std::mem::take(&mut first)
                    && let Some(header) = header(&fields)
                {
                    columns = Some(header);
                    return Ok(None);
                }
                site(&fields, columns.as_deref()).map(Some)
            });
            match read {
                Ok(None) => {}
                Ok(Some(site)) => {
                    if let Some(&(line, at)) = seen.get(site.url.as_str()) {
                        list.duplicates.push(Duplicate { line: number, first: line, url: site.url.to_string() });
                        let known = &mut list.sites[at];
                        known.country = known.country.take().or(site.country);
                        site.tags.into_iter().for_each(|tag| add(&mut known.tags, tag));
                    } else {
                        seen.insert(site.url.to_string(), (number, list.sites.len()));
                        list.sites.push(site);
                    }
                }
                Err(why) => bad.push(BadLine { line: number, why }),
            }
        }
        if !bad.is_empty() {
            return Err(ListError::Bad(bad));
        }
        if list.sites.is_empty() { Err(ListError::Empty) } else { Ok(list) }
    }
}

/// What a column holds.
enum Column {
    Url,
    Country,
    Tags,
    Named(String),
}

/// Returns the columns, if this line names them: one of them is the address.
fn header(fields: &[String]) -> Option<Vec<Column>> {
    let is_url = |name: &str| ["url", "address", "site"].contains(&name);
    let names: Vec<String> = fields.iter().map(|name| name.trim().to_lowercase()).collect();
    names.iter().any(|name| is_url(name)).then(|| {
        let mut named = false;
        let column = |name: String| match name.as_str() {
            name if is_url(name) && !std::mem::replace(&mut named, true) => Column::Url,
            "country" => Column::Country,
            "tag" | "tags" | "" => Column::Tags,
            _ => Column::Named(name),
        };
        names.into_iter().map(column).collect()
    })
}

fn site(fields: &[String], columns: Option<&[Column]>) -> Result<Site, String> {
    let mut url = None;
    let mut country = None;
    let mut tags = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let field = field.trim();
        match columns.map_or(if at == 0 { Some(&Column::Url) } else { None }, |columns| columns.get(at)) {
            Some(Column::Url) => url = Some(address(field)?),
            _ if field.is_empty() => {}
            Some(Column::Country) => country = Some(field.to_owned()),
            Some(Column::Tags) => field.split(';').for_each(|tag| add(&mut tags, tag.trim().to_owned())),
            Some(Column::Named(name)) => add(&mut tags, format!("{name}={field}")),
            None => add(&mut tags, field.to_owned()),
        }
    }
    let url = url.ok_or("it has no address; the header names a column for it")?;
    Ok(Site { domain: domain(&url), url, country, tags })
}

fn add(tags: &mut Vec<String>, tag: String) {
    if !tag.is_empty() && !tags.contains(&tag) {
        tags.push(tag);
    }
}

fn address(given: &str) -> Result<Url, String> {
    if given.is_empty() {
        return Err("it has no address".to_owned());
    }
    let url = Url::parse(given);
    match &url {
        Ok(parsed) if ["http", "https"].contains(&parsed.scheme()) && parsed.has_host() => Ok(url.expect("just seen")),
        // `example.org:8080` parses as an address of the scheme `example.org`.
        Ok(parsed) if parsed.scheme().contains('.') || parsed.scheme() == "localhost" => Err(scheme_is_missing(given)),
        Ok(parsed) => Err(format!(
            "`{given}` has the scheme `{}`; only `https` and `http` addresses can be inspected",
            parsed.scheme()
        )),
        Err(_) if !given.contains("://") && !given.contains(' ') && given.contains('.') => {
            Err(scheme_is_missing(given))
        }
        Err(error) => Err(format!("`{given}` is not an address: {error}")),
    }
}

fn scheme_is_missing(given: &str) -> String {
    format!("`{given}` does not begin with https:// or http://; did you mean `https://{given}`?")
}

/// Returns the registrable domain of an address; a host without one stands for itself.
///
/// # Source
///
/// Public Suffix List, as compiled into the `psl` crate.
pub fn domain(url: &Url) -> String {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            psl::domain_str(name).unwrap_or(name).to_owned()
        }
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// Returns the fields of one line as RFC 4180 separates them.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = unquote(quoted)?;
                let after = after.trim_start();
                if !after.is_empty() && !after.starts_with(',') {
                    return Err(format!("`{after}` follows a closing quote; expected a comma"));
                }
                (field, after.strip_prefix(','))
            }
            None => match rest.split_once(',') {
                Some((field, after)) => (field.to_owned(), Some(after)),
                None => (rest.to_owned(), None),
            },
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or("a quote is opened and not closed on the same line")?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(further) => {
                field.push('"');
                rest = further;
            }
            None => return Ok((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a list as `address [country] tags…`, one site a line.
    fn shown(text: &str) -> String {
        let list = List::parse(text).unwrap();
        let line = |site: &Site| {
            let country = site.country.as_deref().unwrap_or("-");
            format!("{} {country} {} {}", site.url, site.domain, site.tags.join("|"))
        };
        list.sites
            .iter()
            .map(line)
            .chain(list.duplicates.iter().map(ToString::to_string))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn lists_are_read() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text), expected, "{text}");
        check("https://a.example/", "https://a.example/ - a.example ");
        check("\u{feff}# my list\r\n\r\nhttps://a.example/,fr,news\r\n", "https://a.example/ - a.example fr|news");
        check("https://www.shop.co.uk/x, fr , ,fr", "https://www.shop.co.uk/x - shop.co.uk fr");
        check("http://127.0.0.1:8080/", "http://127.0.0.1:8080/ - 127.0.0.1 ");
        check("http://localhost:1/", "http://localhost:1/ - localhost ");
        check(
            "url,country,tags,sector\nhttps://a.example/,FR,news;daily,press,more\n",
            "https://a.example/ FR a.example news|daily|sector=press|more",
        );
        check("Country,URL\nDE,\"https://a.example/?q=1,2\"", "https://a.example/?q=1,2 DE a.example ");
        check("https://a.example/,\"say \"\"no\"\"\",b", "https://a.example/ - a.example say \"no\"|b");
        check(
            "https://a.example,x\nhttps://b.example/\nHTTPS://A.example/,y",
            "https://a.example/ - a.example x|y\nhttps://b.example/ - b.example \n\
             line 3: `https://a.example/` stands on line 1 already and is inspected once",
        );
    }

    #[test]
    fn every_bad_line_is_named_in_one_sentence() {
        let check = |text: &str, expected: &str| assert_eq!(List::parse(text).unwrap_err().to_string(), expected);
        check(
            "# nothing\n",
            "the list names no site; expected one address a line, for instance `https://example.org/`",
        );
        check(
            "https://a.example/\nexample.org\nftp://b.example/\nhttps://\n\"https://c.example\nnot one\nlocalhost:80\n,x",
            "line 2: `example.org` does not begin with https:// or http://; did you mean `https://example.org`?\n\
             line 3: `ftp://b.example/` has the scheme `ftp`; only `https` and `http` addresses can be inspected\n\
             line 4: `https://` is not an address: empty host\n\
             line 5: a quote is opened and not closed on the same line\n\
             line 6: `not one` is not an address: relative URL without a base\n\
             line 7: `localhost:80` does not begin with https:// or http://; did you mean `https://localhost:80`?\n\
             line 8: it has no address",
        );
        check("url,country\n\"https://a.example/\"x,FR", "line 2: `x,FR` follows a closing quote; expected a comma");
    }

    #[test]
    fn thousands_of_lines_are_read() {
        let lines: Vec<_> = (0..20_000).map(|n| format!("https://www.site-{n}.example/,tag-{}", n % 7)).collect();
        assert_eq!(List::parse(&lines.join("\n")).unwrap().sites.len(), 20_000);
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(fields in prop::collection::vec("[^\n\r]{0,12}", 1..6)) {
            let line = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect::<Vec<_>>();
            prop_assert_eq!(super::fields(&line.join(",")).unwrap(), fields);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}(\n\\PC{0,40})?") {
            let _ = List::parse(&text);
        }
    }
}
