"""A comparison as one HTML file that needs neither a server nor a network."""

from seq2seq.compare.report.page import write_report as write_report
