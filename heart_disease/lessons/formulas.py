"""The formulas of the lessons, as a terminal shows them and as mathematics.

A lesson's text holds a formula as inline code, which can be read everywhere. A page shows it as MathML, and a notebook
as the LaTeX that Jupyter typesets.
"""

from __future__ import annotations

import re

COURSE = "https://ocw.mit.edu/courses/15-773-hands-on-deep-learning-spring-2024/"

# What stands in the text -> LaTeX.
FORMULAS = {
    # descent, gradient
    "g(w) = (w^4 + w^2 + 10 w) / 50": r"g(w) = \frac{w^4 + w^2 + 10 w}{50}",
    "(2/25) w^3 + (1/25) w + 1/5": r"\frac{2}{25} w^3 + \frac{1}{25} w + \frac{1}{5}",
    "w <- w - step x derivative(w)": r"w \leftarrow w - \text{step} \cdot g'(w)",
    "w <- w - step x gradient(w)": r"w \leftarrow w - \text{step} \cdot \nabla g(w)",
    "w1^2 + w2^2 + 2": r"w_1^2 + w_2^2 + 2",
    "[2 w1, 2 w2]": r"[2 w_1,\; 2 w_2]",
    "w1^2 - w2^2": r"w_1^2 - w_2^2",
    "[2 w1, -2 w2]": r"[2 w_1,\; -2 w_2]",
    "(w1^2 - 1)^2 + w2^2 + w1/4": r"(w_1^2 - 1)^2 + w_2^2 + \frac{w_1}{4}",
    "[4 w1 (w1^2 - 1) + 1/4, 2 w2]": r"[4 w_1 (w_1^2 - 1) + \frac{1}{4},\; 2 w_2]",
    # loss
    "-log p": r"-\log p",
    "-log(1 - p)": r"-\log(1 - p)",
    "(p - y)^2": r"(p - y)^2",
    "loss = -(y log p + (1 - y) log(1 - p))": r"\text{loss} = -\left(y \log p + (1 - y) \log(1 - p)\right)",
    "p = sigmoid(z)": r"p = \frac{1}{1 + e^{-z}}",
    "p - y": r"p - y",
    "2 (p - y) p (1 - p)": r"2\,(p - y)\,p\,(1 - p)",
    "p (1 - p)": r"p\,(1 - p)",
    # regression
    "w1 x1 + w2 x2 + ... + b": r"w_1 x_1 + w_2 x_2 + \dots + b",
    # backprop: D1 and D2 are the slopes of the loss in z1 and z2
    "z1 = x W1 + b1": r"z_1 = x W_1 + b_1",
    "h1 = max(z1, 0)": r"h_1 = \max(z_1, 0)",
    "z2 = h1 W2 + b2": r"z_2 = h_1 W_2 + b_2",
    "p = 1 / (1 + e^-z2)": r"p = \frac{1}{1 + e^{-z_2}}",
    "loss = -log p": r"\text{loss} = -\log p",
    "loss = -log(1 - p)": r"\text{loss} = -\log(1 - p)",
    "D2 = p - y": r"D_2 = p - y",
    "h1^T D2": r"h_1^T D_2",
    "D2": r"D_2",
    "D1 = D2 W2^T": r"D_1 = D_2 W_2^T",
    "x^T D1": r"x^T D_1",
    "D1": r"D_1",
    # optimizers
    "w <- w - rate x slope": r"w \leftarrow w - \text{rate} \cdot \text{slope}",
    "sqrt((n - B) / (B (n - 1)))": r"\sqrt{\frac{n - B}{B\,(n - 1)}}",
    "v <- m v - rate x slope": r"v \leftarrow m v - \text{rate} \cdot \text{slope}",
    "w <- w + v": r"w \leftarrow w + v",
}


def as_latex(text: str) -> str:
    """A lesson's Markdown with its formulas as LaTeX between dollars."""
    return re.sub("`([^`]+)`", lambda code: f"${FORMULAS[code[1]]}$" if code[1] in FORMULAS else code[0], text)


def as_mathml(formula: str) -> str:
    """One of the formulas as a MathML element."""
    from latex2mathml.converter import convert

    return convert(FORMULAS[formula])
