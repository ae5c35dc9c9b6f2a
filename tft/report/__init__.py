"""The report card: what a campaign did, for the eyes of a person."""

from tft.report.evidence import build_report, final_answers
from tft.report.html import render_comparison, render_html
from tft.report.terminal import print_summary

__all__ = ["build_report", "final_answers", "print_summary", "render_comparison", "render_html"]
