"""The config of a campaign: a tutor, its students, a curriculum, exams, a budget.

What changes a result belongs to the campaign's identity; what only decides where it runs is marked as
``execution`` and may differ when a run is continued.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from tft.config._base import Count, Frozen, Identifier, Refusal, execution, name_to_type, refuse
from tft.config.adapters import Adapter, FullAdapter, HeadAdapter, LoraAdapter
from tft.config.data import MaterialUse
from tft.config.tracking import TrackingUse
from tft.config.training import TrainingConfig

MOST_STUDENTS = 16
LESSONS_A_BATCH = 256
"""Items the tutor is asked to write at once."""
EXAMPLES_SHOWN = 3
"""Questions of its level that it is shown, to see what is meant."""
TAKEN_SHOWN = 20
"""Questions it is told not to repeat: some of those there are, because all of them would crowd its context."""


class _ModelEngineConfig(Frozen):
    """What all engines take."""

    template: dict[str, Any] = Field(default_factory=dict)
    """Switches of the model's chat template, such as ``{enable_thinking: false}``."""


class TransformersEngineConfig(_ModelEngineConfig):
    """Run a model with transformers, in the campaign's own processes."""

    type: Literal["transformers"] = "transformers"
    """Says that this is transformers."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 512
    """Rows that run together. Part of the identity: the last bit of a sum depends on it."""


STRUCTURED_OUTPUTS: dict[str, Any] = {"backend": "xgrammar", "disable_any_whitespace": True}
"""How vLLM holds a model to a schema. White space without end is grammatical JSON, and weak models write it."""


class VLLMEngineConfig(_ModelEngineConfig):
    """Run a model on vLLM, in the tutor's process."""

    type: Literal["vllm"] = "vllm"
    """Says that this is vLLM."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Number format of the weights; ``auto`` takes that of the checkpoint."""
    tensor_parallel: Annotated[int, Field(ge=1)] = 1
    """GPUs that share each layer."""
    pipeline_parallel: Annotated[int, Field(ge=1)] = 1
    """Groups of GPUs that share the layers."""
    context: Annotated[int, Field(ge=16)] | None = None
    """Tokens that prompt and answer may have together; None means what the model takes."""
    sequences: Annotated[int, Field(ge=1)] | None = execution(None)
    """Most requests under way at once; None means vLLM's default."""
    gpu_memory: Annotated[float, Field(gt=0, le=1)] | None = execution(None)
    """Share of each GPU's memory it may take; None means vLLM's default."""
    cpu_cache_gib: Annotated[int, Field(ge=1)] | None = execution(None)
    """Memory for keys and values where there is no GPU, in GiB; None means vLLM's default."""
    block_size: Annotated[int, Field(ge=1)] | None = execution(None)
    """Tokens a block of that memory; shared prompts are found by whole blocks. None means vLLM's default."""
    eager: bool = execution(False)
    """Do not compile: starts sooner, and runs slower on a GPU."""

    @property
    def gpus(self) -> int:
        """GPUs that share the model."""
        return self.tensor_parallel * self.pipeline_parallel


class EndpointEngineConfig(_ModelEngineConfig):
    """Ask a model behind an OpenAI-compatible server: one of ``tft serve``, of vLLM, or of somebody else."""

    type: Literal["endpoint"] = "endpoint"
    """Says that this is an endpoint."""
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] = execution()
    """Its address, up to and with ``/v1``."""
    model: str | None = None
    """The name it knows the model by; None means the model that the tutor names."""
    key_env: str | None = execution(None)
    """Environment variable that holds its key; None means that it wants none."""
    tokenizer: str | None = None
    """The model's tokenizer, to count and to score: a library name, a path or a hub name; None means that only the
    endpoint has it, prompts are then counted by an upper bound, and nothing can be scored."""
    context: Annotated[int, Field(ge=16)] | None = None
    """Tokens that prompt and answer may have together; longer requests are not made. None means that it is not
    known here."""
    guided: bool = True
    """Ask for JSON under a role's schema with ``response_format``; false where the endpoint does not know it."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = execution(64)
    """Requests under way at once."""
    requests_per_minute: Annotated[float, Field(gt=0)] | None = execution(None)
    """Most requests begun in a minute; None means no limit but the endpoint's own."""
    timeout: Annotated[float, Field(gt=0)] = execution(120.0)
    """Seconds after which one request is given up and made again."""
    deadline: Annotated[float, Field(gt=0)] = execution(1800.0)
    """Seconds after which a batch that is not answered ends the campaign; it can be continued."""
    breaker: Annotated[int, Field(ge=1)] = execution(64)
    """Failures in a row after which the endpoint is only tried now and then, until it answers again."""


EngineConfig = Annotated[
    TransformersEngineConfig | VLLMEngineConfig | EndpointEngineConfig, Field(discriminator="type")
]


EngineUse = Annotated[EngineConfig, BeforeValidator(name_to_type, json_schema_input_type=EngineConfig | str)]


class JudgeConfig(Frozen):
    """A model that grades by a rubric where no rule can."""

    model: str
    """The model: a library name, a path or a hub name; ``path:`` and ``hub:`` force it."""
    engine: EngineUse = TransformersEngineConfig()
    """What runs it: ``transformers``, ``vllm`` or ``endpoint``, with their options."""
    max_tokens: Annotated[int, Field(ge=16)] = 256
    """Longest verdict in tokens; one that reaches it is none."""
    repairs: Annotated[int, Field(ge=0, le=2)] = 1
    """How often a verdict without the right form is asked for again, with what was wrong with it."""


def _name_to_model(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


JudgeUse = Annotated[JudgeConfig, BeforeValidator(_name_to_model, json_schema_input_type=JudgeConfig | str)]
"""The model alone, or more than that."""


class Price(Frozen):
    """What a tutor's tokens cost, a million of them, in the currency of your choice."""

    prompt: Annotated[float, Field(ge=0)] = 0.0
    """Tokens it reads."""
    completion: Annotated[float, Field(ge=0)] = 0.0
    """Tokens it writes."""


class TutorUse(Frozen):
    """Which tutor teaches."""

    use: str
    """Name of a tutor card, looked up beside the config file and then among those shipped."""
    model: str | None = None
    """A model to use instead of the card's: a library name, a path or a hub name; ``path:`` and ``hub:`` force it."""
    engine: Annotated[
        EngineConfig | None,
        BeforeValidator(name_to_type, json_schema_input_type=EngineConfig | str | None),
    ] = None
    """Engine to run it with instead of the card's."""
    price: Price | None = execution(None)
    """What its tokens cost where you take them from, instead of the card's price."""


def _name_to_use(value: Any) -> Any:
    return {"use": value} if isinstance(value, str) else value


def _may_be_taken_over(*keys: str) -> ConfigDict:
    """Say that keys may be left out where a campaign continues another: they are filled in before the rest is read."""

    def relax(schema: dict[str, Any]) -> None:
        schema["required"] = [key for key in schema["required"] if key not in keys]

    return ConfigDict(json_schema_extra=relax)


class StudentConfig(Frozen):
    """One student: a base model, and how it may change."""

    model_config = _may_be_taken_over("model")

    id: Identifier
    """What the student is called in the run directory and the report."""
    model: str
    """The base model: a library name, a path or a hub name; ``path:`` and ``hub:`` force it."""
    adapter: Adapter = FullAdapter()
    """How it learns: ``full``, ``lora``, another adapter or a head, with options where it has any."""
    chat_template: str | None = None
    """Jinja template to write conversations with, instead of the model's own; ``plain`` puts turns one after the other,
    for models that only go on with a text. None means the model's own; an encoder-decoder model without one reads what
    its tokenizer makes of a text."""
    template: dict[str, JsonValue] = Field(default_factory=dict)
    """Switches of the chat template, such as ``{enable_thinking: false}`` for a model that would think aloud. They go
    with the student: it is taught, examined and exported with them."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Peak learning rate; None means a rule of thumb by adapter and width of the model."""


class ExamsConfig(Frozen):
    """What students are examined on, by whom, and on how many items."""

    part: Literal["curriculum"] = "curriculum"
    """Where the items of single skills come from: the curriculum's own, held out before anything is taught."""
    whole: tuple[str, ...] = ()
    """Whole exams, sat before the first cycle and by the promoted checkpoint: names of suites, or files of questions
    and answers beside the config."""
    examiner: JudgeUse | None = None
    """The judge of rubrics that name none: a model, or ``{model, engine}``. Neither the tutor nor a student may be."""
    probe: Annotated[int, Field(ge=8)] = 64
    """Items a skill for the probe: the most that are asked before a cycle, where the check leaves a decision of the
    planner open."""
    zone: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """How far from a threshold of the planner it does not matter on which side an ability is counted, in shares of
    right answers; near 0 and 1 half the way to the end, if that is less. The smaller, the more is asked."""
    check: Annotated[int, Field(ge=8)] = 128
    """Items a skill for the check, which the planner and the promotion gate read after every cycle."""
    final: Annotated[int, Field(ge=8)] = 256
    """Items a skill for the final exam: sat once before the first cycle and once by the promoted checkpoint."""
    watched: Annotated[int, Field(ge=0)] = 128
    """Questions of each whole exam that the gate asks every candidate: set apart before anything is taught, where the
    exam has ten times as many different ones; 0 turns this off."""
    max_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest answer a student may give, in tokens."""

    @field_validator("whole", mode="after")
    @classmethod
    def _whole_exams_differ(cls, whole: tuple[str, ...]) -> tuple[str, ...]:
        refuse(
            Refusal((place,), name, "is named before", "name it once")
            for place, name in enumerate(whole)
            if name in whole[:place]
        )
        return whole


class TuitionConfig(Frozen):
    """How much is taught, in which ways, and when it is enough."""

    cycles: Annotated[int, Field(ge=1, le=1000)] = 4
    """Most cycles. May be raised when a run is continued."""
    methods: Literal[
        "auto", "demonstration", "critique", "self_training", "feedback", "preference", "practice"
    ] = "auto"  # fmt: skip
    """Kinds of lesson: ``auto`` chooses by evidence, skill by skill; the others pin one. ``self_training``: the
    student's own right answers; ``feedback``: the tutor says what it would have expected at the student's own tokens;
    ``preference``: right answers against wrong ones; ``practice``: the grader's verdict on the student's own
    answers."""
    questions: Literal["auto", "tutor", "curriculum"] = "auto"
    """Who asks what is demonstrated: the ``tutor``; the ``curriculum``, so that the tutor is paid for answers alone;
    ``auto``: the tutor, and under ``methods: auto`` the curriculum where the tutor repeats itself or tokens are few."""
    planner: str = "evidence"
    """What plans each cycle: ours, by evidence, or one that a plug-in brings."""
    pairs: Literal["auto", "grader", "judge"] = "auto"
    """Who tells a student's better answers from its worse ones: the ``grader``, right from wrong; the tutor's
    ``judge``, which is asked in both orders; ``auto``: the grader, unless its own word is only a model's opinion."""
    mastery: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of right answers from which a skill counts as mastered."""
    ready: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Share of right answers from which a skill can be built on: those that need it no longer wait."""
    lessons: Annotated[int, Field(ge=1)] = 1200
    """New lessons of each kind a skill and cycle, at most."""
    demonstrations: Annotated[int, Field(ge=0)] | None = None
    """Of these, worked answers of the tutor, at most; what students learn from their own answers is not limited by it.
    None means ``lessons``."""
    critiques: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of a skill's lessons that criticise the student's own attempts, once some of them are right."""
    replay: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of rows, beside the new lessons, that rehearse skills mastered without tuition, and those that only have
    to be kept; 0 turns this off."""
    review: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the lessons of earlier cycles that are read again in each cycle; 0 turns this off."""
    second_opinion: Annotated[int, Field(ge=0)] = 16
    """Answers a skill and cycle of practice that the grader came to pass, at most, of which the tutor's judge says
    whether they are better than those of before; 0 turns this off. A tutor without that role is not asked, nor where
    a reward model takes the place of the grader."""
    max_drop: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Most that a skill may fall on the check before a checkpoint is refused."""
    patience: Annotated[int, Field(ge=1)] = 2
    """Cycles without progress after which a student has reached its plateau."""


class ThreadsConfig(Frozen):
    """CPU threads a stage. Part of the identity: sums in another order round differently."""

    tutor: Annotated[int, Field(ge=1)] = 2
    """While the tutor writes."""
    student: Annotated[int, Field(ge=1)] = 1
    """While a student answers or trains."""


class BudgetConfig(Frozen):
    """Hard limits. A tutor that reached one is asked for nothing more; the cycles that are left go on without it,
    unless the hours are over. May be raised when a run is continued."""

    tutor_tokens: Count | None = None
    """Prompt, completion and scored tokens of the tutor, cached or not; None means no limit."""
    tutor_requests: Count | None = None
    """Requests to the tutor, cached or not; None means no limit."""
    money: Annotated[float, Field(gt=0)] | None = None
    """Price of the tutor's tokens, cached or not, in the currency of ``price``; None means no limit."""
    hours: Annotated[float, Field(gt=0)] | None = None
    """Wall clock, over all sessions of a run; None means no limit."""


class InlineCluster(Frozen):
    """Everything in one process, one thing after the other: for debugging."""

    type: Literal["inline"] = "inline"
    """Says that nothing is started."""


class RayCluster(Frozen):
    """Ray: one actor for the tutor and one a student."""

    type: Literal["ray"] = "ray"
    """Says that this is Ray."""
    address: str | None = None
    """A running cluster to join; None starts a local one and ends it afterwards."""
    student_cpus: Annotated[float, Field(gt=0)] = 1.0
    """Logical CPUs an actor of a student asks for."""
    tutor_cpus: Annotated[float, Field(gt=0)] = 1.0
    """Logical CPUs the actor of the tutor asks for."""
    student_gpus: Annotated[float, Field(ge=0)] | None = None
    """GPUs an actor of a student asks for; None means a share of those that the tutor leaves."""
    tutor_gpus: Annotated[float, Field(ge=0)] | None = None
    """GPUs the actor of the tutor asks for; None means what its engine shares the model over, where there are any."""
    retries: Annotated[int, Field(ge=0)] = 3
    """How often a stage is run again after its actor died."""


Cluster = Annotated[
    Annotated[InlineCluster | RayCluster, Field(discriminator="type")],
    BeforeValidator(name_to_type, json_schema_input_type=InlineCluster | RayCluster | Literal["inline", "ray"]),
]


class CampaignConfig(Frozen):
    """Everything one campaign is."""

    model_config = _may_be_taken_over("students")

    campaign: Identifier
    """Name of the campaign; the run directory is called after it."""
    continue_from: str | None = execution(None)
    """An earlier run that this campaign continues: its folder, or its name below ``runs/``. Its students go on as they
    are, keep what they were taught there, and are examined on it; what was taken over is part of the identity."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides every draw. The same config, seed and machine give the same report."""
    tutor: Annotated[TutorUse, BeforeValidator(_name_to_use, json_schema_input_type=TutorUse | str)]
    """Who teaches: the name of a tutor card, or ``{use, model, engine}``."""
    students: Annotated[tuple[StudentConfig, ...], Field(min_length=1, max_length=MOST_STUDENTS)]
    """Who is taught; a small roster is the point of tuition. With ``continue_from``, students of the earlier run are
    named by their id alone; leaving this out takes all of them."""
    curriculum: str
    """What there is to learn: the name of a curriculum, beside the config file or shipped."""
    skills: tuple[str, ...] | None = None
    """Teach and examine only these skills of the curriculum; None means all of them."""
    exams: ExamsConfig = ExamsConfig()
    """What students are examined on."""
    tuition: TuitionConfig = TuitionConfig()
    """How they are taught."""
    material: tuple[MaterialUse, ...] = ()
    """Rows of files and data sets that are taught beside the tutor's lessons."""
    training: TrainingConfig = TrainingConfig()
    """How they are trained."""
    threads: ThreadsConfig = ThreadsConfig()
    """CPU threads a stage."""
    budget: BudgetConfig = BudgetConfig()
    """Hard limits."""
    cluster: Cluster = execution(RayCluster())
    """Where it runs: ``ray`` or ``inline``."""
    cache: str | None = execution(None)
    """Folder of the tutor's answer cache, which campaigns share; None means ``cache`` beside the run directory."""

    tracking: tuple[TrackingUse, ...] = execution(())
    """Trackers that get the metrics as they come, beside ``events.jsonl``: ``tensorboard``, ``wandb``, ``mlflow`` or
    ``trackio``, by name or with settings."""

    @field_validator("students", mode="after")
    @classmethod
    def _students_differ(cls, students: tuple[StudentConfig, ...]) -> tuple[StudentConfig, ...]:
        ids = [student.id for student in students]
        refuse(
            Refusal((place, "id"), name, "another student has this id", "give each student an id of its own")
            for place, name in enumerate(ids)
            if name in ids[:place]
        )
        return students

    @model_validator(mode="after")
    def _material_has_its_turn(self) -> CampaignConfig:
        last, names = self.tuition.cycles, [it.address for it in self.material]
        late = f"the last one is {last}: raise tuition.cycles, or leave this out"
        refusals = [
            Refusal(("material", place, "cycles"), list(it.cycles), "names a cycle that never comes", late)
            for place, it in enumerate(self.material)
            if it.cycles is not None and it.cycles[-1] > last
        ]
        refusals += [
            Refusal(("material", place, "path"), name, "is named before", "name it once")
            for place, name in enumerate(names)
            if name in names[:place]
        ]
        refuse(refusals)
        return self

    @model_validator(mode="after")
    def _activations_can_be_computed_again(self) -> CampaignConfig:
        if self.training.checkpoint_activations:
            refuse(
                Refusal(
                    ("students", place, "adapter", "type"),
                    "prefix",
                    "cannot go with training.checkpoint_activations: its keys and values would be left out",
                    "leave that out, or take adapter: prompt",
                )
                for place, student in enumerate(self.students)
                if student.adapter.type == "prefix"
            )
        return self

    @model_validator(mode="after")
    def _workers_can_be_started(self) -> CampaignConfig:
        if self.training.workers > 1 and self.cluster.type == "inline":
            message = f"is one process, and training.workers asks for {self.training.workers}"
            refuse([Refusal(("cluster", "type"), "inline", message, "take cluster: ray, or training.workers: 1")])
        if self.training.parallel == "fsdp":
            message, remedy = "cannot be parted into shards", "take parallel: ddp"
            adapters = [(("students", place, "adapter"), it.adapter) for place, it in enumerate(self.students)]
            refuse([
                *(Refusal((*key, "type"), "head", message, remedy)
                  for key, it in adapters if isinstance(it, HeadAdapter)),
                *(Refusal((*key, "quantize"), it.quantize, message, f"leave out quantize, or {remedy}")
                  for key, it in adapters if isinstance(it, LoraAdapter) and it.quantize is not None),
            ])  # fmt: skip
        return self

    @model_validator(mode="after")
    def _heads_learn_from_what_is_taught(self) -> CampaignConfig:
        refuse(
            Refusal(
                ("students", place, "adapter", "task"),
                student.adapter.task.type,
                f"cannot learn from tuition.methods: {self.tuition.methods}",
                f"set tuition.methods to {student.adapter.learns_from}, or to auto, which gives each student its kind",
            )
            for place, student in enumerate(self.students)
            if isinstance(student.adapter, HeadAdapter)
            and self.tuition.methods not in ("auto", student.adapter.learns_from)
        )
        return self

    def identity(self) -> dict[str, Any]:
        """Give what decides the result: all but execution, and but the limits that may be raised."""
        whole = super().identity()
        del whole["budget"]
        del whole["tuition"]["cycles"]
        return whole
