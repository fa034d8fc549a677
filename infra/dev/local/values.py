"""The values of a template's properties, as far as parameters give them."""

import re
import sys

# What a template says of a property that is not there.
NO_VALUE = {"Ref": "AWS::NoValue"}


class Values:
    """The values of a template whose parameters have these values."""

    def __init__(self, parameters, template):
        self._parameters = parameters
        self._mappings = template.get("Mappings", {})
        self._conditions = template.get("Conditions", {})

    def of(self, value):
        """Replaces what refers to parameters by its value, and leaves out what has none. Other intrinsic functions are kept."""
        if isinstance(value, list):
            return [inner for inner in map(self.of, value) if inner != NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, inner = next(iter(value.items()))
            if name == "Ref" and inner in self._parameters:
                return self._parameters[inner]
            if name == "Fn::Sub" and isinstance(inner, str):
                names = re.findall(r"\$\{([^}]+)\}", inner)
                if all(name in self._parameters for name in names):
                    return re.sub(r"\$\{([^}]+)\}", lambda match: str(self._parameters[match[1]]), inner)
            if name == "Fn::FindInMap":
                mapping, first, second = self.of(inner)
                return self._mappings[mapping][str(first)][second]
            if name == "Fn::If" and inner[0] in self._conditions:
                return self.of(inner[1] if self._holds(self._conditions[inner[0]]) else inner[2])
        found = {key: self.of(inner) for key, inner in value.items()}
        return {key: inner for key, inner in found.items() if inner != NO_VALUE}

    def _holds(self, condition):
        name, inner = next(iter(condition.items()))
        if name == "Condition":
            return self._holds(self._conditions[inner])
        if name == "Fn::Equals":
            first, second = (self._text(side) for side in inner)
            return first == second
        if name == "Fn::Not":
            return not self._holds(inner[0])
        if name == "Fn::And":
            return all(self._holds(each) for each in inner)
        sys.exit(f"values.py does not know the condition {name}")

    def _text(self, side):
        if isinstance(side, dict) and "Fn::Join" in side:
            separator, values = side["Fn::Join"]
            values = self.of(values)
            return separator.join(values if isinstance(values, list) else values.split(","))
        return str(self.of(side))
