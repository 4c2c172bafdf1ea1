"""Plots of the reports, as plotly figures."""

import numpy as np
import plotly.graph_objects as go

from margin_actors.arrays import FloatArray
from margin_actors.engine.measures import tail_count
from margin_actors.market.instruments import expiry_label
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.numerics.black76 import black76_implied_deviation
from margin_cluster.results import CalculationOutput

INK, PAPER, GRID = "#1d2733", "rgba(0,0,0,0)", "#e4e8ee"
BLUE, RED, AMBER, GREEN, GREY = "#2563a8", "#c0392b", "#bd7710", "#2e8b6f", "#788593"
_SCALE = [[0.0, "#173f6b"], [0.35, "#236a96"], [0.6, "#3b7f6b"], [0.8, "#966710"], [1.0, "#b0401c"]]
"""Colours of surfaces; white text has a contrast of at least 4.5 : 1 on each."""
_COMPONENT_COLOURS = (
    BLUE, GREY, "#6b4fa0", "#3a9476", "#b05a7a", "#66778a", AMBER, GREEN, RED, "#ab66c2",
    "#5c7f2b", "#a06a3c", "#3f8f9c", "#d4719a", "#55606d",
)  # fmt: skip
"""Colours of the components in summation order; they repeat if a model has more components."""
_ACCOUNTS_SHOWN = 20


def component_colour(number: int) -> str:
    """Return the colour of the component with that place in summation order."""
    return _COMPONENT_COLOURS[number % len(_COMPONENT_COLOURS)]


def finish(figure: go.Figure, *, height: int, x: str = "", y: str = "") -> go.Figure:
    """Apply the common layout of the reports to `figure` and return it.

    `height` is in pixels; `x` and `y` are the axis titles.
    """
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        font={"family": "Inter, 'Segoe UI', system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        bargap=0.05,
        hoverlabel={"bgcolor": "white"},
        modebar={"bgcolor": PAPER, "color": GREY, "activecolor": BLUE},
    )
    figure.update_xaxes(title=x, gridcolor=GRID, zerolinecolor=GREY)
    figure.update_yaxes(title=y, gridcolor=GRID, zerolinecolor=GREY)
    return figure


def distribution(output: CalculationOutput, account: int) -> go.Figure | None:
    """Return the histogram of one account's profits with VaR and ES marked.

    `account` is the index in the book. None if the result holds no profits.
    """
    r = output.result
    if r.pnl_usd is None:
        return None
    pnl = r.pnl_usd[account, : r.risk_inputs.sample.n_scenarios]
    counts, edges = np.histogram(pnl, bins=90)
    middle = 0.5 * (edges[1:] + edges[:-1])
    colours = np.where(middle < -r.margins.var_usd[account], RED, BLUE)
    figure = go.Figure(
        go.Bar(
            x=middle,
            y=counts,
            width=np.diff(edges),
            marker_color=colours.tolist(),
            hovertemplate="%{x:$,.0f}: %{y} scenarios<extra></extra>",
        )
    )
    marks = (("VaR", r.margins.var_usd[account], AMBER), ("ES", r.margins.es_usd[account], RED))
    for level, (name, value, colour) in enumerate(marks):
        figure.add_vline(x=-value, line_color=colour, line_width=2, line_dash="dash")
        figure.add_annotation(
            x=-value,
            y=1.0 - 0.12 * level,
            yref="paper",
            text=f"{name} ${value:,.0f}",
            showarrow=False,
            xanchor="left",
            xshift=5,
            font={"color": INK},
            bgcolor="rgba(255,255,255,.85)",
        )
    figure.update_yaxes(type="log")
    return finish(figure, height=340, x="profit over the margin period, USD", y="scenarios (log)")


def tail_by_date(output: CalculationOutput) -> go.Figure:
    """Return a scatter plot of the number of accounts that have each scenario in their tail.

    The x axis is the end of the scenario's window, or the move of the first underlying if any
    scenario has no date.
    """
    r = output.result
    sample = r.risk_inputs.sample
    _, k = tail_count(sample.n_scenarios, sample.confidence)
    rows = r.margins.tail_scenario[:, : k + 1].ravel()
    loss = -r.margins.tail_usd[:, : k + 1].ravel()
    hits = np.bincount(rows, minlength=len(output.scenarios))
    total = np.bincount(rows, weights=loss, minlength=len(output.scenarios))
    used = np.flatnonzero(hits)
    names = [output.scenarios.row_name(int(s)) for s in used]
    end = output.scenarios.end_time[used].astype("datetime64[m]")
    drawn = bool(np.isnat(end).any())
    moves = [
        "<br>".join(
            f"{u} {100 * (np.exp(output.scenarios.spot_return[s, i]) - 1):+.1f} %"
            for i, u in enumerate(output.scenarios.underlyings)
        )
        for s in used
    ]
    move = output.scenarios.spot_return[used, 0]
    figure = go.Figure(
        go.Scatter(
            x=(100 * (np.exp(move) - 1)).tolist() if drawn else [str(d) for d in end],
            y=hits[used],
            mode="markers",
            text=[f"<b>{name}</b><br>{text}" for name, text in zip(names, moves, strict=True)],
            customdata=total[used] / 1e6,
            marker={
                "size": np.sqrt(np.maximum(total[used], 0) / max(total.max(), 1)) * 34 + 5,
                "color": 100 * (np.exp(move) - 1),
                "colorscale": [[0, RED], [0.5, "#d8dee6"], [1, BLUE]],
                "cmid": 0,
                "line": {"width": 1, "color": GREY},
                "colorbar": {
                    "title": {
                        "text": f"{output.scenarios.underlyings[0]} move, %",
                        "side": "right",
                    },
                    "thickness": 12,
                },
            },
            hovertemplate="%{text}<br>in the tail of %{y} accounts, "
            "losses %{customdata:,.1f} M USD<extra></extra>",
        )
    )
    x = f"{output.scenarios.underlyings[0]} move, %" if drawn else "window closes"
    return finish(figure, height=380, x=x, y="accounts with the scenario in their tail")


def requirements_and_resources(output: CalculationOutput) -> go.Figure:
    """Return bars of the largest requirements and of the resources that cover them."""
    r = output.result
    top = np.argsort(-r.margins.initial_margin_usd, kind="stable")[:_ACCOUNTS_SHOWN]
    names = [r.book.accounts[a] for a in top]
    figure = go.Figure()
    figure.add_bar(
        x=names,
        y=r.margins.initial_margin_usd[top],
        name="requirement",
        offsetgroup="requirement",
        marker_color=BLUE,
        hovertemplate="%{x}: requirement %{y:$,.0f}<extra></extra>",
    )
    excess = output.excess_usd
    if output.collateral_usd is not None and excess is not None:
        deposits, value = output.collateral_usd[top], output.option_value_usd[top]
        for label, colour, chosen in (
            ("resources, sufficient", GREEN, excess[top] >= 0.0),
            ("resources, in deficit", RED, excess[top] < 0.0),
        ):
            figure.add_bar(
                x=names,
                y=np.where(chosen, deposits + value, np.nan),
                name=label,
                offsetgroup="resources",
                marker_color=colour,
                customdata=np.column_stack([deposits, value, excess[top]]),
                hovertemplate="%{x}: resources %{y:$,.0f}<br>collateral after haircut "
                "%{customdata[0]:$,.0f}<br>option value %{customdata[1]:$,.0f}<br>"
                "excess %{customdata[2]:$,.0f}<extra></extra>",
            )
    figure.update_layout(barmode="group")
    return finish(figure, height=400, y="US dollars")


def risk_of_accounts(output: CalculationOutput) -> go.Figure:
    """Return bars of VaR (with its interval) and ES of the accounts that require most margin."""
    r = output.result
    top = np.argsort(-r.margins.initial_margin_usd, kind="stable")[:_ACCOUNTS_SHOWN]
    names = [r.book.accounts[a] for a in top]
    figure = go.Figure()
    for name, values, colour in (("VaR", r.margins.var_usd, GREY), ("ES", r.margins.es_usd, AMBER)):
        figure.add_bar(
            x=names,
            y=values[top],
            name=name,
            marker_color=colour,
            hovertemplate=f"%{{x}}: {name} %{{y:$,.0f}}<extra></extra>",
        )
    low = (r.margins.var_usd - r.margins.var_low_usd)[top]
    high = (r.margins.var_high_usd - r.margins.var_usd)[top]
    figure.data[0].update(
        error_y={"type": "data", "array": high, "arrayminus": low, "thickness": 1, "color": INK}
    )
    figure.update_layout(barmode="group")
    return finish(figure, height=340, y="US dollars")


def components_of_accounts(output: CalculationOutput) -> go.Figure | None:
    """Return stacked bars of the components of the largest requirements; None for a core only."""
    r = output.result
    used = r.margins.components_used
    if len(used) < 2:
        return None
    top = np.argsort(-r.margins.initial_margin_usd, kind="stable")[:_ACCOUNTS_SHOWN]
    names = [r.book.accounts[a] for a in top]
    figure = go.Figure()
    for name in used:
        shown = name.replace("_", " ")
        colour = component_colour(r.margins.components.index(name))
        figure.add_bar(
            x=names,
            y=r.margins.component_usd(name)[top].tolist(),
            name=shown,
            marker={"color": colour, "line": {"width": 1, "color": "white"}},
            hovertemplate=f"%{{x}} {shown} %{{y:$,.0f}}<extra></extra>",
        )
    figure.update_layout(barmode="stack")
    return finish(figure, height=360, y="US dollars")


def smiles(output: CalculationOutput, underlying: str) -> go.Figure:
    """Return fitted smiles and quotes, one expiry at a time, with a menu of expiries."""
    surface = output.surfaces[underlying]
    figure = go.Figure()
    for number, item in enumerate(surface.expiries):
        low, high, mark, k = _quoted_vols(output, underlying, number)
        reach = max(float(np.abs(k).max()) if k.size else 0.3, 0.05) * 1.15
        grid = np.linspace(-reach, reach, 161)
        visible = number == min(4, len(surface.expiries) - 1)
        strike = item.forward_usd * np.exp(grid)
        middle = 0.5 * (low + high)
        figure.add_scatter(
            x=item.forward_usd * np.exp(k),
            y=100 * middle,
            error_y={
                "type": "data",
                "array": 50 * (high - low),
                "color": GREY,
                "thickness": 1,
                "width": 2,
            },
            mode="markers",
            marker={"size": 4, "color": GREY},
            name="bid to ask",
            visible=visible,
            hovertemplate="strike %{x:,.0f}: %{y:.1f} %<extra></extra>",
        )
        figure.add_scatter(
            x=item.forward_usd * np.exp(k),
            y=100 * mark,
            mode="markers",
            marker={"size": 5, "color": AMBER, "symbol": "diamond-open"},
            name="mark",
            visible=visible,
        )
        figure.add_scatter(
            x=strike,
            y=100 * surface.volatility(grid, item.tenor_years),
            mode="lines",
            line={"color": BLUE, "width": 2.5},
            name=f"{surface.model.upper()} fit",
            visible=visible,
        )
    _add_menu(figure, surface)
    finish(figure, height=480, x="strike, USD", y="implied volatility, %")
    return figure.update_layout(margin={"l": 60, "r": 20, "t": 70, "b": 50}, legend={"y": 1.1})


def _add_menu(figure: go.Figure, surface: VolatilitySurface) -> None:
    """Add a menu that shows the three traces of one expiry at a time."""
    buttons = [
        {
            "label": f"{expiry_label(e.expiry)} ({e.tenor_years * 365:.0f} d)",
            "method": "update",
            "args": [{"visible": [i // 3 == n for i in range(3 * len(surface.expiries))]}],
        }
        for n, e in enumerate(surface.expiries)
    ]
    menu = {"buttons": buttons, "active": min(4, len(buttons) - 1), "x": 1.0, "y": 1.17}
    figure.update_layout(updatemenus=[{**menu, "xanchor": "right", "bgcolor": "white"}])


def _quoted_vols(
    output: CalculationOutput, underlying: str, number: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return (bid vol, ask vol, mark vol, ln K/F) of the out-of-the-money options of an expiry.

    Annual volatilities; all arrays have shape (n_options,), ascending in strike.
    """
    item = output.surfaces[underlying].expiries[number]
    options = output.snapshot.options
    position = output.snapshot.expiry_row[underlying, item.expiry]
    F = item.forward_usd
    rows = np.flatnonzero(
        (options.expiry_index == position)
        & (options.is_call == (options.strike_usd >= F))
        & np.isfinite(options.mark_vol)
    )
    unit, forward = np.where(options.is_inverse[rows], F, 1.0), np.full(rows.size, F)
    root = np.sqrt(item.tenor_years)
    K, call = options.strike_usd[rows], options.is_call[rows]
    low = black76_implied_deviation(options.bid[rows] * unit, forward, K, call) / root
    high = black76_implied_deviation(options.ask[rows] * unit, forward, K, call) / root
    order = np.argsort(K, kind="stable")
    k = np.log(K / F)
    return low[order], high[order], options.mark_vol[rows][order], k[order]


def _surface_grid(surface: VolatilitySurface) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (days to expiry (40,), moneyness z (45,), volatility in per cent (40, 45))."""
    tenors = np.array([e.tenor_years for e in surface.expiries])
    grid = np.exp(np.linspace(np.log(tenors[0]), np.log(tenors[-1]), 40))
    z = np.linspace(-2.2, 2.2, 45)
    vol = np.empty((grid.size, z.size))
    for i, tenor in enumerate(grid):
        at_money = surface.volatility(np.zeros(1), float(tenor))[0]
        vol[i] = 100 * surface.volatility(z * at_money * np.sqrt(tenor), float(tenor))
    return grid * 365, z, vol


def surface_map(surface: VolatilitySurface) -> go.Figure:
    """Return the surface as a heat map of moneyness and maturity."""
    days, z, vol = _surface_grid(surface)
    figure = go.Figure(
        go.Contour(
            x=z,
            y=days,
            z=vol,
            colorscale=_SCALE,
            contours={
                "coloring": "heatmap",
                "showlabels": True,
                "labelfont": {"color": "#ffffff"},
            },
            line={"width": 0.7, "color": "#ffffff"},
            colorbar={"title": "vol, %", "thickness": 12},
        )
    )
    ticks = [1, 3, 7, 30, 90, 365]
    figure.update_yaxes(type="log", tickvals=ticks)
    return finish(figure, height=440, x="moneyness z, standard deviations", y="days")


def levels_in_words(surface: VolatilitySurface) -> str:
    """Return the volatilities at the money of the first and last expiry as a sentence."""
    ends = [surface.expiries[i].tenor_years for i in (0, -1)]
    vols = [100 * float(surface.volatility(np.zeros(1), t)[0]) for t in ends]
    return (
        f"At the money it is {vols[0]:.1f} % at {365 * ends[0]:.0f} days and {vols[1]:.1f} % at "
        f"{365 * ends[1]:.0f} days."
    )


def as_json(figure: go.Figure) -> str:
    """Return a figure as JSON."""
    return str(figure.to_json())
