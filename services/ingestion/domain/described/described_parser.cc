#include <re2/re2.h>

#include <algorithm>

#include "services/ingestion/domain/described/description.h"
#include "services/ingestion/domain/described/key_values.h"
#include "services/ingestion/domain/parsers/fields.h"

namespace yagura::ingestion {
namespace {

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

// "name" of "id.name"; the id may be "name@1.2.3".
std::string_view WithoutElement(std::string_view name) {
  const size_t at = name.find('@');
  const size_t start =
      at == name.npos ? name.find('.') : name.find_first_not_of("0123456789.", at + 1);
  if (start == name.npos) return name;
  return name.substr(at == name.npos ? start + 1 : start);
}

class DescribedParser final : public Parser {
 public:
  explicit DescribedParser(std::shared_ptr<const Description> description)
      : description_(std::move(description)) {}

  std::string_view name() const override { return description_->name; }

  bool Recognises(const LineInput& input) const override {
    return std::any_of(description_->recognisers.begin(), description_->recognisers.end(),
                       [&input](const Recogniser& known) { return known.Holds(input); });
  }

  void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) override {
    event::EventView& event = parsed->event;
    event.product = description_->product;
    event.message = input.header.body;
    for (event::FieldView field : input.header.structured_data) {
      if (description_->plain_structured_data) field.name = WithoutElement(field.name);
      event.fields.push_back(field);
    }
    const size_t told = event.fields.size();
    own_.clear();
    StepContext context{input, arena, parsed, own_};
    const auto run = [&context](const auto& step) { return step->Run(context); };
    const bool as_described =
        std::all_of(description_->steps.begin(), description_->steps.end(), run);
    if (!as_described) {
      MarkPartlyParsed("the line has a form that the parser's description does not have", &event);
    }
    // What no step took apart keeps its pairs at least.
    if (!as_described || event.fields.size() == told) {
      ReadKeyValues(input.header.body, KeyValueFormat{}, arena, &event.fields);
    }
    for (const auto& step : description_->core) step->Run(context);
    if (event.fields.size() >= kMaxFields) MarkPartlyParsed("more than 1,024 fields", &event);
  }

 private:
  const std::shared_ptr<const Description> description_;
  std::vector<event::FieldView> own_;  // of the line in hand
};

}  // namespace

void StepContext::Add(event::FieldView field) {
  (field.name.starts_with("__") ? own : parsed->event.fields).push_back(field);
}

std::string_view StepContext::Text(std::string_view name) const {
  if (name.starts_with('@')) {
    const SyslogHeader& header = input.header;
    if (name == "@body") return header.body;
    if (name == "@line") return input.line;
    if (name == "@program") return header.program;
    if (name == "@host") return header.host;
    if (name == "@process_id") return header.process_id;
    if (name == "@message_id") return header.message_id;
    if (name == "@message") return parsed->event.message;
  }
  const auto& fields = name.starts_with("__") ? own : parsed->event.fields;
  for (const event::FieldView& field : fields) {
    if (field.name == name) return field.value;
  }
  return {};
}

Recogniser::Recogniser() = default;
Recogniser::Recogniser(Recogniser&&) noexcept = default;
Recogniser::~Recogniser() = default;

bool Recogniser::Holds(const LineInput& input) const {
  if (!starts.empty() && !input.header.body.starts_with(starts)) return false;
  for (const std::string& text : contains) {
    if (input.line.find(text) == input.line.npos) return false;
  }
  if (program != nullptr && !RE2::FullMatch(Piece(input.header.program), *program)) return false;
  return matches == nullptr || RE2::PartialMatch(Piece(input.header.body), *matches);
}

std::unique_ptr<Parser> MakeDescribedParser(std::shared_ptr<const Description> description) {
  return std::make_unique<DescribedParser>(std::move(description));
}

}  // namespace yagura::ingestion
