#include "services/detection/domain/engine/batch_matcher.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "services/detection/domain/engine/batch_values.h"
#include "services/detection/domain/engine/memory.h"
#include "services/detection/domain/engine/plan.h"

namespace yagura::detection {
namespace {

using event::BatchReader;

constexpr uint32_t kUnknown = UINT32_MAX;

uint64_t RandomSeed() {
  std::random_device random;
  return (uint64_t{random()} << 32U) | random();
}

}  // namespace

struct BatchMatcher::Impl {
  // What a plan says about events that pass the same tests.
  struct Answer {
    bool known = false;
    uint32_t ids = 0;  // number of the sequence of ids that hold
    uint32_t candidates = 0;
  };
  struct LivePlan {
    Plan plan;
    uint32_t number;
    BatchValues::Keywords* keywords;  // null: no keywords
    std::vector<uint32_t> narrowed;   // by set: of its tests those that the plan asks for
  };

  Impl(const RuleSet& rule_set, size_t memory_bytes)
      : set(rule_set),
        memory(memory_bytes),
        values(rule_set, RandomSeed()),
        keys(RandomSeed()),
        ids(RandomSeed()),
        passed(rule_set.atoms().size(), 0),
        tried(rule_set.targets().size() + rule_set.sources().size(), 0) {}

  size_t MemoryBytes() const {
    size_t bytes =
        values.bytes() + keys.bytes() + ids.bytes() + answers.capacity() * sizeof(Answer);
    for (const auto& plan : plans) bytes += plan->plan.bytes() + plan->narrowed.capacity() * 4;
    return bytes;
  }

  void Start(BatchReader& reader) {
    values.Start(reader);
    for (auto& [atoms, keywords] : keyword_groups) keywords.columns.clear();
    if (MemoryBytes() <= memory) return;
    ++forgotten;
    values.Forget();
    keys = SequenceTable(RandomSeed());
    ids = SequenceTable(RandomSeed());
    answers.clear();
    plans.clear();
    plan_of_sources.clear();
    keyword_groups.clear();
    routing = nullptr;
  }

  LivePlan* AddPlan(std::vector<Plan::Condition> conditions) {
    Plan plan(set, std::move(conditions));
    BatchValues::Keywords* keywords = nullptr;
    if (!plan.keywords().empty()) {
      keywords = &keyword_groups[plan.keywords()];
      if (!keywords->index) keywords->index = values.MakeKeywordIndex(plan.keywords());
    }
    const auto number = static_cast<uint32_t>(plans.size());
    plans.push_back(std::make_unique<LivePlan>(LivePlan{std::move(plan), number, keywords, {}}));
    return plans.back().get();
  }

  LivePlan& Routing() {
    if (routing == nullptr) {
      std::vector<Plan::Condition> conditions;
      for (uint32_t i = 0; i < set.sources().size(); ++i) {
        conditions.push_back({set.sources()[i].root, i});
      }
      routing = AddPlan(std::move(conditions));
    }
    return *routing;
  }

  // What is tried on events of these sources.
  LivePlan& PlanOf(uint32_t sources) {
    const std::string& tenant = values.batch().tenant();
    const uint32_t tenant_number = set.tenant_number(tenant);
    auto& plan = plan_of_sources[{tenant_number, sources}];
    if (plan != nullptr) return *plan;
    std::vector<Plan::Condition> conditions;
    for (const uint32_t source : ids[sources]) {
      for (const uint32_t number : set.sources()[source].targets) {
        const auto& target = set.targets()[number];
        if (!set.entries()[target.entry].IsFor(tenant)) continue;
        conditions.push_back({target.root, number});
      }
    }
    plan = AddPlan(std::move(conditions));
    return *plan;
  }

  uint32_t Narrow(LivePlan& plan, uint32_t number) {
    if (plan.narrowed.size() <= number) plan.narrowed.resize(values.set_count() * 2, kUnknown);
    uint32_t& narrowed = plan.narrowed[number];
    if (narrowed != kUnknown) return narrowed;
    std::vector<uint32_t> atoms;
    for (const uint32_t atom : values.Set(number)) {
      if (plan.plan.Asks(atom)) atoms.push_back(atom);
    }
    return narrowed = values.SetOf(atoms);
  }

  // Sets row_answers to the answer for each of the rows.
  void Answers(LivePlan& plan, std::span<const uint32_t> rows) {
    const size_t width = plan.plan.fields().size() + 3;
    key_items.resize(rows.size() * width);
    key_sizes.assign(rows.size(), 1);
    for (size_t i = 0; i < rows.size(); ++i) key_items[i * width] = plan.number;
    const auto add = [&](size_t i, uint32_t item) { key_items[i * width + key_sizes[i]++] = item; };
    for (const uint32_t field : plan.plan.fields()) {
      if (!values.Decide(field, rows, row_sets)) continue;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (row_sets[i] == 0) continue;
        const uint32_t narrowed = Narrow(plan, row_sets[i]);
        if (narrowed != 0) add(i, narrowed);
      }
    }
    if (plan.keywords != nullptr) {
      values.DecideKeywords(*plan.keywords, rows, row_sets);
      for (size_t i = 0; i < rows.size(); ++i) {
        if (row_sets[i] != 0) add(i, row_sets[i]);
      }
    }
    for (size_t i = 0; i < rows.size() && !plan.plan.references().empty(); ++i) {
      if (const uint32_t references = References(plan.plan, rows[i]); references != 0) {
        add(i, references);
      }
    }
    row_answers.resize(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::span<const uint32_t> key(&key_items[i * width], key_sizes[i]);
      const uint32_t number = keys.Number(key);
      if (answers.size() <= number) answers.resize(std::max<size_t>(number + 1, keys.size() * 2));
      if (!answers[number].known) answers[number] = Evaluate(plan.plan, key.subspan(1));
      row_answers[i] = answers[number];
    }
  }

  uint32_t References(const Plan& plan, uint32_t row) {
    std::vector<uint32_t> passing;
    for (const uint32_t atom : plan.references()) {
      if (values.Refers(set.atoms()[atom], row)) passing.push_back(atom);
    }
    std::sort(passing.begin(), passing.end());
    return values.SetOf(passing);
  }

  void NextRound() {
    if (++round != 0) return;
    std::fill(passed.begin(), passed.end(), 0);
    std::fill(tried.begin(), tried.end(), 0);
    round = 1;
  }

  Answer Evaluate(const Plan& plan, std::span<const uint32_t> sets) {
    ++evaluated;
    NextRound();
    for (const uint32_t number : sets) {
      for (const uint32_t atom : values.Set(number)) passed[atom] = round;
    }
    Answer answer;
    answer.known = true;
    held.clear();
    const auto attempt = [&](uint32_t index) {
      if (tried[index] == round) return;
      tried[index] = round;
      ++answer.candidates;
      const Plan::Condition& condition = plan.conditions()[index];
      if (Holds(condition.root)) held.push_back(condition.id);
    };
    for (const uint32_t number : sets) {
      for (const uint32_t atom : values.Set(number)) {
        for (const uint32_t index : plan.Candidates(atom)) attempt(index);
      }
    }
    for (const uint32_t index : plan.always()) attempt(index);
    std::sort(held.begin(), held.end());
    answer.ids = ids.Number(held);
    return answer;
  }

  bool Holds(uint32_t number) const {
    const RuleSet::Node& node = set.node(number);
    const auto children = set.children(node);
    const auto holds = [this](uint32_t child) { return Holds(child); };
    switch (node.type) {
      case Expression::Type::kAnd:
        return std::all_of(children.begin(), children.end(), holds);
      case Expression::Type::kOr:
        return std::any_of(children.begin(), children.end(), holds);
      case Expression::Type::kNot:
        return !Holds(children.front());
      default:
        return passed[node.atom] == round;
    }
  }

  // Marks the tests that the event passes of all that the target has; of keywords it is not known.
  void MarkPassed(const RuleSet::Target& target, uint32_t row) {
    NextRound();
    const std::vector<uint32_t> rows = {row};
    std::vector<uint32_t> sets;
    for (const uint32_t field : target.matched_fields) {
      if (!values.Decide(field, rows, sets)) continue;
      for (const uint32_t atom : values.Set(sets.front())) passed[atom] = round;
    }
    MarkReferences(target.root, row);
  }

  void MarkReferences(uint32_t number, uint32_t row) {
    const RuleSet::Node& node = set.node(number);
    for (const uint32_t child : set.children(node)) MarkReferences(child, row);
    if (!set.children(node).empty() || node.type == Expression::Type::kAnd) return;
    if (node.type == Expression::Type::kKeyword ||
        (node.type == Expression::Type::kFieldReference &&
         values.Refers(set.atoms()[node.atom], row))) {
      passed[node.atom] = round;
    }
  }

  // Marks the fields that what holds of the condition rests on.
  void Explain(uint32_t number, std::vector<bool>& fields) const {
    const RuleSet::Node& node = set.node(number);
    if (node.type == Expression::Type::kNot || node.type == Expression::Type::kKeyword) return;
    if (node.type == Expression::Type::kAnd || node.type == Expression::Type::kOr) {
      for (const uint32_t child : set.children(node)) {
        if (node.type == Expression::Type::kAnd || Holds(child)) Explain(child, fields);
      }
      return;
    }
    if (passed[node.atom] == round) fields[set.atoms()[node.atom].field] = true;
  }

  std::vector<uint32_t> MatchedFields(const Match& match) {
    const RuleSet::Target& target = set.targets()[match.target];
    MarkPassed(target, match.row);
    std::vector<bool> marked(set.fields().size(), false);
    Explain(target.root, marked);
    std::vector<uint32_t> matched;
    for (const uint32_t field : target.matched_fields) {
      if (marked[field]) matched.push_back(field);
    }
    return matched.empty() ? target.matched_fields : matched;
  }

  void Run(std::vector<Match>& matches) {
    const size_t size = values.batch().size();
    events += size;
    candidates.assign(size, 0);
    all_rows.resize(size);
    std::iota(all_rows.begin(), all_rows.end(), 0);
    Answers(Routing(), all_rows);
    rows_of_sources.clear();
    for (uint32_t row = 0; row < size; ++row) {
      if (row_answers[row].ids != 0) rows_of_sources[row_answers[row].ids].push_back(row);
    }
    for (const auto& [sources, rows] : rows_of_sources) {
      LivePlan& plan = PlanOf(sources);
      if (plan.plan.conditions().empty()) continue;
      Answers(plan, rows);
      for (size_t i = 0; i < rows.size(); ++i) {
        candidates[rows[i]] = row_answers[i].candidates;
        for (const uint32_t target : ids[row_answers[i].ids]) matches.push_back({rows[i], target});
      }
    }
    std::sort(matches.begin(), matches.end());
  }

  const RuleSet& set;
  const size_t memory;
  BatchValues values;
  // Remembered: keys are a plan's number and the sets of tests that an event passes.
  SequenceTable keys;
  SequenceTable ids;
  std::vector<Answer> answers;  // by key
  std::vector<std::unique_ptr<LivePlan>> plans;
  std::map<std::pair<uint32_t, uint32_t>, LivePlan*> plan_of_sources;  // by tenant and sources
  std::map<std::vector<uint32_t>, BatchValues::Keywords> keyword_groups;
  LivePlan* routing = nullptr;
  // Of the event being evaluated: by atom and by condition, the round in which it passed or was
  // tried last.
  std::vector<uint32_t> passed;
  std::vector<uint32_t> tried;
  uint32_t round = 0;
  std::vector<uint32_t> held;
  // Of the batch.
  std::vector<uint32_t> all_rows;
  std::map<uint32_t, std::vector<uint32_t>> rows_of_sources;
  std::vector<uint32_t> key_items;
  std::vector<uint32_t> key_sizes;
  std::vector<uint32_t> row_sets;
  std::vector<Answer> row_answers;
  std::vector<uint32_t> candidates;
  uint64_t events = 0;
  uint64_t evaluated = 0;
  uint64_t forgotten = 0;
};

BatchMatcher::BatchMatcher(std::shared_ptr<const RuleSet> rules, size_t memory)
    : rules_(std::move(rules)), impl_(std::make_unique<Impl>(*rules_, memory)) {}
BatchMatcher::~BatchMatcher() = default;

absl::StatusOr<std::vector<Match>> BatchMatcher::Run(BatchReader& batch) {
  std::vector<Match> matches;
  impl_->Start(batch);
  if (batch.size() == 0) return matches;
  impl_->Run(matches);
  if (!impl_->values.error().ok()) return impl_->values.error();
  return matches;
}

absl::StatusOr<std::string_view> BatchMatcher::Value(uint32_t field, size_t row) {
  const std::string_view value = impl_->values.First(field, row);
  if (!impl_->values.error().ok()) return impl_->values.error();
  return value;
}

absl::StatusOr<std::vector<uint32_t>> BatchMatcher::MatchedFields(const Match& match) {
  auto fields = impl_->MatchedFields(match);
  if (!impl_->values.error().ok()) return impl_->values.error();
  return fields;
}

const std::vector<uint32_t>& BatchMatcher::candidates() const { return impl_->candidates; }

MatchCounts BatchMatcher::counts() const {
  const auto& values = impl_->values.counts();
  return {impl_->events,  impl_->evaluated, values.values,
          values.decided, impl_->forgotten, impl_->MemoryBytes()};
}

}  // namespace yagura::detection
