from __future__ import annotations

from IPython.core.completer import provisionalcompleter

import dfnb


def offered(shell, text: str) -> list[str]:
    with provisionalcompleter():
        return [completion.text for completion in shell.Completer.completions(text, len(text))]


def test_commands_names_ids_options_and_events_are_offered(echo, shell):
    dfnb.start("ask", instance_id="q1")
    shell.user_ns["question"] = dfnb.instance("q1")
    assert offered(shell, "%dfnb sta") == ["start"]
    assert offered(shell, "%dfnb sc") == ["scan-secrets"]
    assert set(offered(shell, "%dfnb http q")) == {"question", "q1"}
    assert offered(shell, "%dfnb http q1 --h") == ["--har"]
    assert set(offered(shell, "x = %dfnb res")) == {"resume", "restart"}
    assert offered(shell, "%dfnb start s") == ["say"]
    assert set(offered(shell, "%dfnb wait q")) == {"question", "q1"}
    assert offered(shell, "%dfnb raise q1 a") == ["answer"]
    assert offered(shell, "%dfnb raise question a") == ["answer"]
    assert offered(shell, "%dfnb wait q1 --t") == ["--timeout"]
    assert offered(shell, "%dfnb list --status Co") == ["Completed", "ContinuedAsNew"]
    assert offered(shell, "%dfnb open x --durability r") == ["relaxed"]
    assert set(offered(shell, "%dfnb inspect q")) == {"question", "q1"}
    assert set(offered(shell, "%dfnb test-mode ")) == {"on", "off"}


def test_options_of_the_cell_magics_are_offered(run, shell):
    run("from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)")
    assert offered(shell, "%%activity --t") == ["--timeout"]
    assert offered(shell, "%%activity --executor po") == ["pool"]
    assert offered(shell, "%%orchestrator --") == ["--name"]
    assert offered(shell, "%%http_trigger /orders/{id} --m") == ["--methods"]
    assert offered(shell, "%%http_trigger /orders/{id} --methods P") == ["PATCH", "POST", "PUT"]
    assert offered(shell, "%%http_trigger --auth f") == ["function"]
    shell.user_ns["pool"].shutdown()


def test_the_users_own_python_is_completed_as_ever(echo, shell):
    shell.user_ns["my_cities"] = ["Oslo"]
    assert "my_cities" in offered(shell, "%dfnb start say my_ci")
    assert "my_cities" in offered(shell, '%dfnb start say ["Lima", my_ci')
    assert "my_cities" in offered(shell, "my_ci")


def test_the_body_of_a_cell_completes_with_the_annotated_context(run, shell):
    text = "%%orchestrator\ndef trip(context: df.DurableOrchestrationContext):\n    context.call_act"
    assert "call_activity" in offered(shell, text)


def test_nothing_is_offered_and_nothing_fails_without_a_hub(run, shell):
    run("%dfnb stop")
    assert offered(shell, "%dfnb wait zzz") == []


def test_entities_and_their_operations_are_offered(counter, shell):
    counter("%%entity\nclass Account:\n    def pay(self, n): pass\n    def take(self, n): pass")
    counter("%dfnb signal @counter@x add 5")
    dfnb.start("read", "@counter@x").wait(5)
    shell.user_ns["handle"] = dfnb.current().client.entity("@counter@x")
    assert set(offered(shell, "%dfnb ent")) == {"entity", "entities"}
    assert set(offered(shell, "%dfnb signal @")) == {"@counter@x", "@counter@", "@account@"}
    assert offered(shell, "%dfnb entity @") == ["@counter@x"]
    assert offered(shell, "%dfnb entity ha") == ["handle"]
    assert offered(shell, "%dfnb signal @account@new p") == ["pay"]
    assert offered(shell, "%dfnb signal @counter@x a") == offered(shell, "%dfnb signal handle a") == ["add"]
    assert "handle" in offered(shell, "%dfnb signal @counter@x add ha")
    assert offered(shell, "%dfnb signal nobody zzz") == []
    assert offered(shell, "%dfnb entities --name c") == ["counter"]
    assert offered(shell, "%%entity --n") == ["--name"]
    assert "destruct_on_exit" in offered(shell, "%%entity\ndef c(context: df.DurableEntityContext):\n    context.dest")
