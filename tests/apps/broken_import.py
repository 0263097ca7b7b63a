"""Cannot be imported: the traceback must name this file and the line of the division."""


def divide(value: int) -> float:
    return 1 / value


app = divide(0)
