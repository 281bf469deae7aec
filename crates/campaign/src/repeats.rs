//! How often answers differ between repeats: what a single inspection of a site is worth. Pure.
//!
//! A pair is a site and a question (a rule, or a field such as the clicks to refuse). It is compared if at least two
//! repeats answered, and it flips if not all answers are the same.

use std::collections::BTreeMap;

/// One repeat's answer to one question about one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The site.
    pub site: i64,
    /// Its address.
    pub url: String,
    /// The question.
    pub question: String,
    /// The answer; `None` if this repeat gave none.
    pub answer: Option<String>,
}

/// A pair whose answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// The site's address.
    pub url: String,
    /// The question.
    pub question: String,
    /// The answers, in the order of the repeats.
    pub answers: Vec<String>,
}

/// So many pairs that flip, of so many that were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Those that flip.
    pub flipped: usize,
    /// Those that were compared.
    pub compared: usize,
}

/// How often answers differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flips {
    /// By question.
    pub by_question: BTreeMap<String, Rate>,
    /// The pairs that flip, by site; at most as many as were asked for.
    pub listed: Vec<Flip>,
}

impl Flips {
    /// Returns the rate over all questions of which `wanted` is true.
    pub fn rate(&self, wanted: impl Fn(&str) -> bool) -> Rate {
        let of = |(_, rate): (_, &Rate)| *rate;
        self.by_question.iter().filter(|(question, _)| wanted(question)).map(of).fold(Rate::default(), |all, rate| {
            Rate { flipped: all.flipped + rate.flipped, compared: all.compared + rate.compared }
        })
    }
}

/// Compares answers as they come, ordered by site, then question, then repeat; holds those of one pair at a time.
#[derive(Debug)]
pub struct Comparison {
    flips: Flips,
    at_most: usize,
    site: i64,
    pair: Flip,
}

impl Comparison {
    /// Begins; at most so many pairs that flip are listed, all are counted.
    pub fn new(at_most: usize) -> Self {
        let pair = Flip { url: String::new(), question: String::new(), answers: Vec::new() };
        Self { flips: Flips::default(), at_most, site: i64::MIN, pair }
    }

    /// Takes the next answer.
    pub fn add(&mut self, answer: Answer) {
        if (answer.site, &answer.question) != (self.site, &self.pair.question) {
            self.close();
            self.site = answer.site;
            self.pair = Flip { url: answer.url, question: answer.question, answers: Vec::new() };
        }
        self.pair.answers.extend(answer.answer);
    }

    /// Ends, and returns what was found.
    pub fn finish(mut self) -> Flips {
        self.close();
        self.flips
    }

    fn close(&mut self) {
        let answers = &self.pair.answers;
        if answers.len() < 2 {
            return;
        }
        let flips = answers.iter().any(|answer| *answer != answers[0]);
        let rate = self.flips.by_question.entry(self.pair.question.clone()).or_default();
        rate.compared += 1;
        rate.flipped += usize::from(flips);
        if flips && self.flips.listed.len() < self.at_most {
            self.flips.listed.push(self.pair.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `site question answer` and compares.
    fn compare(text: &str, at_most: usize) -> Flips {
        let mut comparison = Comparison::new(at_most);
        for line in text.lines() {
            let parts: Vec<&str> = line.split_whitespace().collect();
            comparison.add(Answer {
                site: parts[0].parse().unwrap(),
                url: format!("https://{}.test/", parts[0]),
                question: parts[1].to_owned(),
                answer: parts.get(2).map(|answer| (*answer).to_owned()),
            });
        }
        comparison.finish()
    }

    #[test]
    fn pairs_flip_if_not_all_repeats_agree() {
        let text = "1 CK-05 breach\n1 CK-05 breach\n1 CK-05 conform\n1 CK-06 breach\n1 CK-06 breach\n1 clicks 1\n\
                    1 clicks 2\n2 CK-05 breach\n2 CK-05 breach\n3 CK-05 breach\n4 CK-05\n4 CK-05 breach";
        let flips = compare(text, 10);
        let rate = |flipped, compared| Rate { flipped, compared };
        assert_eq!(flips.rate(|question| question.starts_with("CK-")), rate(1, 3), "3 and 4 answered once");
        assert_eq!(flips.rate(|question| question == "clicks"), rate(1, 1));
        assert_eq!(flips.listed[0].answers, ["breach", "breach", "conform"]);
        assert_eq!(flips.listed[0].url, "https://1.test/");
        assert_eq!(compare(text, 1).listed.len(), 1);
        assert_eq!(compare(text, 1).rate(|_| true), rate(2, 4), "all are counted");
    }

    #[test]
    fn nothing_to_compare_is_no_rate() {
        assert_eq!(compare("1 CK-05 breach", 10), Flips::default());
        assert_eq!(compare("", 10), Flips::default());
    }
}
