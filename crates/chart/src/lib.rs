//! Curves and matrices as PNG images, drawn without any font of the system.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Latin letters of DejaVu Sans; `font/README.md` says how they were taken out.
static LETTERS: &[u8] = include_bytes!("font/DejaVuSans-Latin.ttf");
const FONT: &str = "sans-serif";

/// Why a chart was not drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// No curve has a point.
    #[error("{0}: nothing to draw")]
    Empty(String),
    /// Values are not as many as labels ask for.
    #[error("{title}: no square matrix of {rows} rows")]
    Matrix {
        /// What stands above.
        title: String,
        /// Labels.
        rows: usize,
    },
    /// The letters could not be read.
    #[error("the font of charts is damaged")]
    Font,
    /// Drawing failed.
    #[error("drawing a chart: {0}")]
    Drawing(String),
    /// The image could not be packed.
    #[error("writing a chart as PNG: {0}")]
    Png(#[from] png::EncodingError),
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for ChartError {
    fn from(cause: DrawingAreaErrorKind<E>) -> Self {
        Self::Drawing(cause.to_string())
    }
}

/// A result of drawing.
pub type Result<T> = std::result::Result<T, ChartError>;

const SIZE: (u32, u32) = (1040, 480);

/// Colours that people of any colour vision tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(148, 103, 40),
];

/// A line of a chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right; values that are no numbers are left out.
    pub points: Vec<(f64, f64)>,
    /// Whether each point gets a dot.
    pub dots: bool,
    /// What stands above its points, from the first on.
    pub labels: Vec<String>,
    /// The number of its colour, for curves that belong together; its own when absent.
    pub colour: Option<usize>,
    /// Whether it is paler than others of its colour.
    pub pale: bool,
}

/// Curves over steps, or over something else.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// What stands above.
    pub title: String,
    /// What the width means; steps when absent.
    pub x: Option<String>,
    /// What the height means.
    pub y: String,
    /// The top; by the values when absent.
    pub most: Option<f64>,
    /// Whether each power of ten is as high as the next.
    pub logarithmic: bool,
    /// The curves.
    pub curves: Vec<Curve>,
    /// Where stages begin, and their names.
    pub borders: Vec<(f64, String)>,
}

impl Chart {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }

    fn drawable<'a>(&self, curve: &'a Curve) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        let logarithmic = self.logarithmic;
        let place = move |&(x, y): &(f64, f64)| (x, if logarithmic { y.log10() } else { y });
        curve.points.iter().map(place).filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    fn values(&self) -> impl Iterator<Item = (f64, f64)> {
        self.curves.iter().flat_map(|curve| self.drawable(curve))
    }

    /// Bottom and top. Of values that only fall, the first few are far above all others and would
    /// press them to the bottom: they are cut off.
    fn height(&self) -> (f64, f64) {
        let mut values: Vec<f64> = self.values().map(|(_, y)| y).collect();
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = (part * values.len().saturating_sub(1) as f64) as usize;
            values.get(place).copied().unwrap_or_default()
        };
        let (least, most) = (at(0.0), at(1.0));
        if self.logarithmic {
            return (least.floor(), (most + 1e-9).ceil());
        }
        let most = self.most.unwrap_or_else(|| (at(0.5) * 3.0).clamp(at(0.9), most) * 1.05);
        (least.min(0.0), if most > 0.0 { most } else { 1.0 })
    }

    /// The chart as a PNG image.
    ///
    /// # Errors
    /// When there is nothing to draw.
    pub fn draw(&self) -> Result<Vec<u8>> {
        if self.is_empty() {
            return Err(ChartError::Empty(self.title.clone()));
        }
        let (low, high) = self.height();
        let right = self.values().map(|(x, _)| x).fold(1.0, f64::max);
        let longest = self.curves.iter().map(|curve| curve.name.chars().count()).max();
        let legend = 48 + 8 * longest.unwrap_or(0).min(40) as i32;
        image(SIZE, |area| {
            let mut plot = ChartBuilder::on(area)
                .caption(&self.title, (FONT, 20))
                .margin(12)
                .margin_right(legend)
                .x_label_area_size(42)
                .y_label_area_size(66)
                .build_cartesian_2d(0.0..right, low..high)?;
            let logarithmic = self.logarithmic;
            plot.configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(BLACK.mix(0.12))
                .label_style((FONT, 15))
                .axis_desc_style((FONT, 15))
                .x_desc(self.x.as_deref().unwrap_or("step"))
                .y_desc(&self.y)
                .x_label_formatter(&|x| format!("{x:.0}"))
                .y_label_formatter(&|y| match logarithmic {
                    true => format!("{:.0e}", 10f64.powf(*y)),
                    false if high >= 20.0 => format!("{y:.0}"),
                    false => format!("{y:.2}"),
                })
                .draw()?;
            for (begin, name) in &self.borders {
                let line = PathElement::new(vec![(*begin, low), (*begin, high)], BLACK.mix(0.45));
                plot.draw_series([line])?;
                let grey = BLACK.mix(0.7);
                let font = TextStyle::from((FONT, 14).into_font()).color(&grey);
                let label =
                    EmptyElement::at((*begin, high)) + Text::new(name.clone(), (5, 3), font);
                plot.draw_series([label])?;
            }
            let palette = || {
                self.curves.iter().enumerate().filter_map(|(place, curve)| {
                    let number = curve.colour.unwrap_or(place) % COLOURS.len();
                    let colour = COLOURS.get(number)?;
                    Some((curve, colour.mix(if curve.pale { 0.5 } else { 1.0 })))
                })
            };
            for (curve, colour) in palette() {
                let points: Vec<(f64, f64)> =
                    self.drawable(curve).map(|(x, y)| (x, y.clamp(low, high))).collect();
                let dots = if curve.dots { points.clone() } else { Vec::new() };
                plot.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
                let font = TextStyle::from((FONT, 14).into_font()).color(&colour);
                let font = font.pos(Pos::new(HPos::Center, VPos::Bottom));
                for (at, label) in points.iter().zip(&curve.labels) {
                    let label = Text::new(label.clone(), (0, -6), font.clone());
                    plot.draw_series([EmptyElement::at(*at) + label])?;
                }
                plot.draw_series(dots.into_iter().map(|at| Circle::new(at, 3, colour.filled())))?;
            }
            // The legend stands beside the plot, where it hides nothing.
            for (row, (curve, colour)) in (0..).zip(palette()) {
                let (x, y) = (SIZE.0 as i32 - legend + 8, 60 + 24 * row);
                let stroke = colour.stroke_width(2);
                area.draw(&PathElement::new([(x, y), (x + 20, y)], stroke))?;
                let font = TextStyle::from((FONT, 15).into_font());
                let font = font.pos(Pos::new(HPos::Left, VPos::Center));
                area.draw(&Text::new(curve.name.as_str(), (x + 28, y), font))?;
            }
            Ok(())
        })
    }
}

/// A square matrix of numbers from -1 (blue) to 1 (red) as a PNG image.
///
/// # Errors
/// When it is empty or not as large as its labels say.
pub fn matrix(title: &str, labels: &[String], values: &[Vec<f64>]) -> Result<Vec<u8>> {
    let count = labels.len();
    if count == 0 || values.len() != count || values.iter().any(|row| row.len() != count) {
        return Err(ChartError::Matrix { title: title.to_owned(), rows: count });
    }
    let cell = (720 / count as i32).clamp(14, 64);
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let (top, left) = (40 + 9 * longest as i32, 16 + 9 * longest as i32);
    let side = cell * count as i32;
    let size = (left + side + 16, top + side + 16);
    image((size.0.max(420) as u32, size.1 as u32), |area| {
        let style = |size: i32, horizontal, vertical| {
            TextStyle::from((FONT, size).into_font()).pos(Pos::new(horizontal, vertical))
        };
        area.draw(&Text::new(title, (8, 8), style(18, HPos::Left, VPos::Top)))?;
        for ((row, label), numbers) in (0..).zip(labels).zip(values) {
            let middle = |place: i32| place * cell + cell / 2;
            let beside = style(15, HPos::Right, VPos::Center);
            area.draw(&Text::new(label.as_str(), (left - 6, top + middle(row)), beside))?;
            let upright = FontTransform::Rotate270;
            let above = style(15, HPos::Left, VPos::Center).transform(upright);
            area.draw(&Text::new(label.as_str(), (left + middle(row), top - 6), above))?;
            for (column, number) in (0..).zip(numbers) {
                let (x, y) = (left + column * cell, top + row * cell);
                let place = [(x, y), (x + cell - 1, y + cell - 1)];
                area.draw(&Rectangle::new(place, shade(*number).filled()))?;
                if cell >= 36 {
                    let dark = number.abs() > 0.6;
                    let ink = if dark { WHITE } else { BLACK };
                    let font = style(14, HPos::Center, VPos::Center).color(&ink);
                    let middle = (x + cell / 2, y + cell / 2);
                    area.draw(&Text::new(format!("{number:.2}"), middle, font))?;
                }
            }
        }
        Ok(())
    })
}

/// White for 0, blue for -1, red for 1.
fn shade(value: f64) -> RGBColor {
    let value = if value.is_finite() { value.clamp(-1.0, 1.0) } else { 0.0 };
    let end = if value < 0.0 { [33.0, 102.0, 172.0] } else { [178.0, 24.0, 43.0] };
    let [r, g, b] = end.map(|end| (255.0 + (end - 255.0) * value.abs()).round() as u8);
    RGBColor(r, g, b)
}

/// What is drawn on white, as PNG.
fn image<D>(size: (u32, u32), draw: D) -> Result<Vec<u8>>
where
    D: FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>) -> Result<()>,
{
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if !REGISTERED.get_or_init(|| register_font(FONT, FontStyle::Normal, LETTERS).is_ok()) {
        return Err(ChartError::Font);
    }
    let mut pixels = vec![255; size.0 as usize * size.1 as usize * 3];
    let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    area.present()?;
    drop(area);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(image: &[u8]) -> Vec<u8> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(image)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }

    fn has(image: &[u8], RGBColor(r, g, b): RGBColor) -> bool {
        pixels(image).chunks(3).any(|pixel| pixel == [r, g, b])
    }

    #[test]
    fn curves_are_drawn_in_their_colours_and_others_are_not() {
        let curve = |name: &str, points: &[(f64, f64)]| Curve {
            name: name.to_owned(),
            points: points.to_vec(),
            dots: true,
            ..Curve::default()
        };
        let mut chart = Chart {
            title: "Loss".to_owned(),
            y: "nats".to_owned(),
            curves: vec![curve("a", &[(1.0, 3.0), (2.0, f64::NAN), (9.0, 1.0)])],
            borders: vec![(0.0, "adapter".to_owned()), (5.0, "joint".to_owned())],
            ..Chart::default()
        };
        let one = chart.draw().unwrap();
        assert!(has(&one, COLOURS[0]) && !has(&one, COLOURS[1]));
        chart.curves.push(curve("b", &[(1.0, 1e-3), (9.0, 2.0)]));
        let two = chart.draw().unwrap();
        assert!(has(&two, COLOURS[0]) && has(&two, COLOURS[1]));
        // The words above and beside are drawn, too.
        assert_ne!(
            pixels(&two),
            pixels(&Chart { title: String::new(), ..chart.clone() }.draw().unwrap())
        );
        let labelled = |labels: &[&str]| {
            let mut chart = chart.clone();
            chart.curves[0].labels = labels.iter().map(|label| (*label).to_owned()).collect();
            pixels(&chart.draw().unwrap())
        };
        assert_ne!(labelled(&["Q4_0"]), labelled(&[]));
        chart.logarithmic = true;
        assert!(has(&chart.draw().unwrap(), COLOURS[1]));
        chart.curves = vec![curve("none", &[(1.0, f64::NAN)])];
        assert!(chart.is_empty() && chart.draw().is_err());
    }

    #[test]
    fn a_matrix_has_the_shades_of_its_numbers() {
        let labels = ["asr de".to_owned(), "st de-en".to_owned()];
        let values = [vec![1.0, -0.5], vec![-0.5, 1.0]];
        let image = matrix("Cosines", &labels, &values).unwrap();
        assert!(has(&image, RGBColor(178, 24, 43)) && has(&image, shade(-0.5)));
        assert!(matrix("Cosines", &labels, &values[..1]).is_err());
        assert_eq!(shade(f64::NAN), RGBColor(255, 255, 255));
    }
}
