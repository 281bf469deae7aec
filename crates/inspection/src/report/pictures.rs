//! Pictures in the report: each embedded once, shown whole or in part wherever it is needed.
//!
//! The files are unaltered evidence. They stand once in the page as `<image>` definitions, byte for byte, and every
//! place that shows one refers to it by an SVG `<use>`; the outline around a control is drawn over it, and a crop is
//! a `viewBox`. So a report with fifty references to ten pictures holds ten pictures, and files with the same bytes are
//! one picture with several paths.

use super::language::Language;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write};

/// A picture that stands in the page.
pub struct Picture {
    /// Its number in the page, from 1.
    pub number: usize,
    /// Its paths in the evidence: files with the same bytes are one picture.
    pub paths: Vec<String>,
    /// Width in its own pixels.
    pub width: u32,
    /// Height in its own pixels.
    pub height: u32,
    /// Its size in bytes, in words.
    pub size: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The file as a `data:` address.
    pub data: String,
}

/// One showing of a picture. All numbers are in the picture's own pixels.
pub struct Shot {
    /// The picture's number.
    pub number: usize,
    /// Width of the picture.
    pub width: u32,
    /// Height of the picture.
    pub height: u32,
    /// What is shown of it: left, top, width, height.
    pub view: [u32; 4],
    /// A box to draw over it: left, top, width, height.
    pub outline: Option<[i64; 4]>,
    /// The outline's stroke, so that it reads as about 3 pixels when the picture is shrunk.
    pub stroke: u32,
    /// What is to be seen, in words.
    pub alt: String,
}

/// Reads pictures as they are asked for and keeps those that were used.
pub struct Gallery<'a> {
    language: Language,
    read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    numbers: BTreeMap<String, Option<usize>>,
    /// The pictures used so far, in the order of first use.
    pub pictures: Vec<Picture>,
}

impl<'a> Gallery<'a> {
    /// Returns an empty gallery that reads by this function.
    pub fn new(language: Language, read: &'a dyn Fn(&str) -> Option<Vec<u8>>) -> Self {
        Self { language, read, numbers: BTreeMap::new(), pictures: Vec::new() }
    }

    /// Returns a showing of the whole picture, with an outline in CSS pixels of a viewport this wide.
    ///
    /// `None` if there is no such picture or it is no PNG; the caller says so in words.
    pub fn whole(&mut self, path: &str, viewport: (u32, u32), outline: Option<[i32; 4]>, alt: &str) -> Option<Shot> {
        let (number, width, height) = self.number(path)?;
        let scale = scale(width, viewport);
        Some(Shot {
            number,
            width,
            height,
            view: [0, 0, width, height],
            outline: outline.and_then(|rect| frame(rect, scale, 4)).map(|rect| inside(rect, width, height)),
            stroke: (width / 300).max(2),
            alt: alt.to_owned(),
        })
    }

    /// Returns a showing of a part, with some of what surrounds it and an outline around the part itself.
    ///
    /// `None` also where the part lies outside the picture.
    pub fn part(&mut self, path: &str, viewport: (u32, u32), crop: [i32; 4], alt: &str) -> Option<Shot> {
        const MARGIN: i64 = 24;
        const LEAST: (i64, i64) = (320, 120);
        let (number, width, height) = self.number(path)?;
        let scale = scale(width, viewport);
        let [left, top, wide, high] = frame(crop, scale, 0)?;
        let span = |start: i64, length: i64, least: i64, limit: u32| {
            let limit = i64::from(limit);
            let extra = ((least - length) / 2).max(MARGIN);
            let from = (start - extra).clamp(0, limit);
            let to = (start + length + extra).clamp(0, limit);
            (from as u32, (to - from) as u32)
        };
        let (x, w) = span(left, wide, LEAST.0, width);
        let (y, h) = span(top, high, LEAST.1, height);
        let visible = left < i64::from(width) && top < i64::from(height) && left + wide > 0 && top + high > 0;
        (visible && w > 0 && h > 0).then(|| Shot {
            number,
            width,
            height,
            view: [x, y, w, h],
            outline: frame(crop, scale, 3).map(|rect| inside(rect, width, height)),
            stroke: 2,
            alt: alt.to_owned(),
        })
    }

    /// Returns a showing of nothing but the part, at its own size: how a control looks.
    pub fn specimen(&mut self, path: &str, viewport: (u32, u32), rect: [i32; 4], alt: &str) -> Option<Shot> {
        let mut shot = self.part(path, viewport, rect, alt)?;
        let [left, top, wide, high] = frame(rect, scale(shot.width, viewport), 2)?;
        let (x, y) = (left.max(0), top.max(0));
        let w = (left + wide).min(i64::from(shot.width)) - x;
        let h = (top + high).min(i64::from(shot.height)) - y;
        (w > 0 && h > 0).then(|| {
            shot.view = [x as u32, y as u32, w as u32, h as u32];
            shot.outline = None;
            shot
        })
    }

    /// Returns whether both are there and are the same picture, byte for byte.
    pub fn are_same(&mut self, one: &str, other: &str) -> bool {
        let (one, other) = (self.number(one), self.number(other));
        one.is_some() && one == other
    }

    fn number(&mut self, path: &str) -> Option<(usize, u32, u32)> {
        if !self.numbers.contains_key(path) {
            let number = (self.read)(path).and_then(|bytes| self.keep(path, &bytes));
            self.numbers.insert(path.to_owned(), number);
        }
        let number = self.numbers[path]?;
        let picture = &self.pictures[number - 1];
        Some((number, picture.width, picture.height))
    }

    fn keep(&mut self, path: &str, bytes: &[u8]) -> Option<usize> {
        let (width, height) = png_size(bytes)?;
        let sha256 = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        if let Some(known) = self.pictures.iter_mut().find(|picture| picture.sha256 == sha256) {
            known.paths.push(path.to_owned());
            return Some(known.number);
        }
        let number = self.pictures.len() + 1;
        self.pictures.push(Picture {
            number,
            paths: vec![path.to_owned()],
            width,
            height,
            size: super::words::bytes(self.language, bytes.len()),
            sha256,
            data: format!("data:image/png;base64,{}", STANDARD.encode(bytes)),
        });
        Some(number)
    }
}

/// Returns a PNG's width and height, or `None` if it is no PNG.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let rest = bytes.strip_prefix(SIGNATURE)?;
    let number = |at: usize| rest.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let (width, height) = (number(0)?, number(4)?);
    // The format allows 2^31 - 1; a picture of a viewport is far below this, and `i64` arithmetic stays exact.
    (1..=65_536).contains(&width).then_some(())?;
    (1..=65_536).contains(&height).then_some((width, height))
}

fn scale(width: u32, viewport: (u32, u32)) -> f64 {
    if viewport.0 == 0 { 1.0 } else { f64::from(width) / f64::from(viewport.0) }
}

/// Returns a box in the picture's pixels, grown by `grow` on every side; `None` where it has no area.
fn frame(rect: [i32; 4], scale: f64, grow: i64) -> Option<[i64; 4]> {
    let [x, y, w, h] = rect.map(|side| (f64::from(side) * scale).round() as i64);
    (w > 0 && h > 0).then_some([x - grow, y - grow, w + 2 * grow, h + 2 * grow])
}

/// Returns a box cut to the picture, so that the sides of what fills the screen are drawn and not lost at its edge.
fn inside([x, y, w, h]: [i64; 4], width: u32, height: u32) -> [i64; 4] {
    const EDGE: i64 = 2;
    let cut = |start: i64, length: i64, limit: u32| {
        let limit = i64::from(limit) - EDGE;
        let from = start.max(EDGE);
        let to = (start + length).min(limit);
        if from < to { (from, to - from) } else { (start, length) }
    };
    let ((x, w), (y, h)) = (cut(x, w, width), cut(y, h, height));
    [x, y, w, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a PNG: all that is read of it here.
    fn head(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    #[test]
    fn a_picture_is_kept_once_however_often_it_is_shown() {
        let read = |path: &str| (path == "a.png").then(|| head(1366, 768));
        let mut gallery = Gallery::new(Language::English, &read);
        assert!(gallery.whole("a.png", (1366, 768), None, "").is_some());
        assert!(gallery.part("a.png", (1366, 768), [10, 10, 50, 20], "").is_some());
        assert!(gallery.whole("b.png", (1366, 768), None, "").is_none());
        assert_eq!(gallery.pictures.len(), 1);
    }

    #[test]
    fn files_with_the_same_bytes_are_one_picture() {
        let read = |path: &str| Some(head(if path == "c.png" { 390 } else { 1366 }, 768));
        let mut gallery = Gallery::new(Language::English, &read);
        assert!(gallery.are_same("a.png", "b.png") && !gallery.are_same("b.png", "c.png"));
        assert_eq!(gallery.pictures[0].paths, ["a.png", "b.png"]);
        assert_eq!(gallery.pictures.len(), 2);
    }

    #[test]
    fn a_box_follows_the_pixels_of_a_finer_picture() {
        let read = |_: &str| Some(head(780, 1688));
        let shot =
            Gallery::new(Language::English, &read).whole("a.png", (390, 844), Some([10, 20, 100, 40]), "").unwrap();
        assert_eq!(shot.outline, Some([16, 36, 208, 88]));
    }

    #[test]
    fn the_outline_of_a_bar_across_the_screen_stays_visible() {
        let read = |_: &str| Some(head(1366, 768));
        let shot =
            Gallery::new(Language::English, &read).whole("a.png", (1366, 768), Some([0, 673, 1366, 95]), "").unwrap();
        assert_eq!(shot.outline, Some([2, 669, 1362, 97]));
    }

    #[test]
    fn a_crop_stays_inside_the_picture() {
        let read = |_: &str| Some(head(1366, 768));
        let mut gallery = Gallery::new(Language::English, &read);
        let shot = gallery.part("a.png", (1366, 768), [1300, 740, 60, 28], "").unwrap();
        assert_eq!([shot.view[0] + shot.view[2], shot.view[1] + shot.view[3]], [1366, 768]);
        assert!(gallery.part("a.png", (1366, 768), [0, 900, 60, 28], "").is_none());
        assert!(gallery.part("a.png", (1366, 768), [0, 0, 0, 28], "").is_none());
        assert!(gallery.part("a.png", (1366, 768), [i32::MAX, i32::MIN, i32::MAX, i32::MAX], "").is_none());
    }

    #[test]
    fn what_is_no_png_is_not_shown() {
        for bytes in [&b""[..], b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", &head(0, 5)] {
            assert_eq!(png_size(bytes), None);
        }
    }
}
