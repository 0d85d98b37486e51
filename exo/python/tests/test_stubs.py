"""The type stubs say what the packages have, no more and no less."""

import ast
import importlib
import inspect
import os
import unittest

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def stubs():
    for package in ("SkyNET", "RuoteAMQP"):
        for name in sorted(os.listdir(os.path.join(PACKAGES, package))):
            if name.endswith(".pyi"):
                module = package if name == "__init__.pyi" else "%s.%s" % (package, name[:-4])
                with open(os.path.join(PACKAGES, package, name)) as f:
                    yield module, ast.parse(f.read())


def arguments(function):
    a = function.args
    return [arg.arg for arg in a.posonlyargs + a.args + a.kwonlyargs]


class TestStubs(unittest.TestCase):
    def test_every_public_module_has_a_stub(self):
        public = {"SkyNET", "SkyNET.Control", "SkyNET.Exo", "RuoteAMQP", "RuoteAMQP.workitem", "RuoteAMQP.launcher",
                  "RuoteAMQP.participant", "RuoteAMQP.proxy", "RuoteAMQP.fei"}
        self.assertEqual({module for module, _ in stubs()}, public)
        for package in ("SkyNET", "RuoteAMQP"):
            self.assertTrue(os.path.exists(os.path.join(PACKAGES, package, "py.typed")))

    def test_what_a_stub_says_is_there_with_the_same_arguments(self):
        for name, tree in stubs():
            module = importlib.import_module(name)
            for node in tree.body:
                if isinstance(node, ast.FunctionDef):
                    self.same(getattr(module, node.name), node, name)
                elif isinstance(node, ast.ClassDef):
                    cls = getattr(module, node.name)
                    for member in node.body:
                        if isinstance(member, ast.FunctionDef) and not member.name.startswith("__"):
                            there = inspect.getattr_static(cls, member.name)
                            if not member.decorator_list:
                                self.same(there, member, "%s.%s" % (name, node.name))

    def same(self, function, node, where):
        self.assertEqual(list(inspect.signature(function).parameters), arguments(node), "%s.%s" % (where, node.name))

    def test_what_is_public_is_in_the_stub(self):
        for name, tree in stubs():
            module = importlib.import_module(name)
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    said = {m.name for m in node.body if isinstance(m, ast.FunctionDef)}
                    said |= {m.target.id for m in node.body if isinstance(m, ast.AnnAssign)}
                    public = {m for m in vars(getattr(module, node.name)) if not m.startswith("_")}
                    self.assertEqual(public - said, set(), "%s.%s" % (name, node.name))

    def test_every_public_thing_says_what_it_is(self):
        for name, _ in stubs():
            module = importlib.import_module(name)
            self.assertTrue(module.__doc__, name)
            for thing, value in vars(module).items():
                if inspect.isclass(value) and value.__module__ == name and not thing.startswith("_"):
                    self.assertTrue(value.__doc__, thing)
                    for member, method in vars(value).items():
                        if not member.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
                            self.assertTrue(method.__doc__, "%s.%s" % (thing, member))


if __name__ == "__main__":
    unittest.main()
