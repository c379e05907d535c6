#include <array>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/named_core.h"
#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/parsers/xml_reader.h"

// Windows events as XML ("<Event xmlns=...><System>...</System><EventData>..."), as event
// collectors and many agents send them. Fields have the names that they have in JSON, too:
// "EventID", "Provider_Name", "TargetUserName".
namespace yagura::ingestion {
namespace {

// The elements that are open.
struct Element {
  std::string_view name;
  std::string_view data_name;  // of <Data Name="...">
  std::string_view text;
  size_t pieces = 0;  // of `text`
  bool has_children = false;
};

class Reader {
 public:
  Reader(const LineInput& input, TextArena& arena, ParsedLine* parsed)
      : xml_(input.header.body, arena),
        arena_(arena),
        event_(parsed->event),
        core_(input, arena, parsed) {}

  void Read() {
    for (;;) {
      switch (xml_.Next()) {
        case XmlReader::Piece::kOpen:
          if (depth_ > 0) open_[depth_ - 1].has_children = true;
          open_[depth_++] = {xml_.name(), {}, {}, 0, false};
          break;
        case XmlReader::Piece::kAttribute:
          Attribute(xml_.name(), xml_.value());
          break;
        case XmlReader::Piece::kText:
          AddText(open_[depth_ - 1]);
          break;
        case XmlReader::Piece::kClose:
          Close();
          break;
        case XmlReader::Piece::kEnd:
          if (!Trim(xml_.rest()).empty()) MarkPartlyParsed("text behind the event", &event_);
          return core_.Finish();
        case XmlReader::Piece::kError:
          MarkPartlyParsed(xml_.error(), &event_);
          return core_.Finish();
      }
    }
  }

 private:
  std::string_view Section() const { return depth_ > 1 ? open_[1].name : std::string_view{}; }

  // The innermost element's name below its section: "Channel", "Execution", "A.B".
  std::string_view Name() const {
    size_t from = 1;
    const std::string_view section = Section();
    if (section == "System" || section == "EventData") from = 2;
    if (section == "UserData") from = 3;  // its first element is named like the event
    if (section == "RenderingInfo" && depth_ == 3 && open_[2].name == "Message") from = 2;
    std::string_view name;
    for (size_t i = from; i < depth_; ++i) {
      const std::string_view part = open_[i].name.substr(0, kMaxNameBytes);
      name = name.empty() ? part : arena_.Join(name, ".", part).substr(0, kMaxNameBytes);
    }
    return name;
  }

  void Attribute(std::string_view name, std::string_view value) {
    if (name == "xmlns") return;
    if (Section() == "EventData" && name == "Name" && depth_ == 3) {
      open_[2].data_name = value;
      return;
    }
    const std::string_view element = Name();
    if (element == "Provider" && (name == "Name" || name == "Guid")) {
      return Add(name == "Name" ? "Provider_Name" : "Provider_Guid", value);
    }
    name = name.substr(0, kMaxNameBytes);
    Add(element.empty() ? name : arena_.Join(element, ".", name).substr(0, kMaxNameBytes), value);
  }

  void AddText(Element& element) {
    constexpr size_t kMaxPieces = 64;  // joining costs a copy of what came before
    if (++element.pieces > kMaxPieces) {
      return MarkPartlyParsed("a text in more than 64 pieces", &event_);
    }
    element.text = element.text.empty() ? xml_.value() : arena_.Join(element.text, xml_.value());
  }

  void Close() {
    const Element& element = open_[depth_ - 1];
    if (!element.data_name.empty()) {
      Add(element.data_name, element.text);
    } else if (!element.has_children && !element.text.empty()) {
      if (const std::string_view name = Name(); !name.empty()) Add(name, element.text);
    }
    --depth_;
  }

  void Add(std::string_view name, std::string_view value) {
    if (event_.fields.size() >= kMaxFields) {
      MarkPartlyParsed("more than 1,024 fields", &event_);
      return;
    }
    event_.fields.push_back({name, value});
    core_.See(name, value);
  }

  XmlReader xml_;
  TextArena& arena_;
  event::EventView& event_;
  NamedCore core_;
  std::array<Element, XmlReader::kMaxDepth> open_{};
  size_t depth_ = 0;
};

class WindowsXmlParser final : public Parser {
 public:
  std::string_view name() const override { return "windows_xml"; }

  bool Recognises(const LineInput& input) const override {
    std::string_view body = input.header.body;
    if (!body.starts_with('<')) return false;
    if (body.starts_with("<?xml")) {
      const size_t end = body.find("?>");
      if (end == body.npos) return false;
      body = Trim(body.substr(end + 2));
    }
    constexpr size_t kHead = 256;
    return (body.starts_with("<Event ") || body.starts_with("<Event>")) &&
           body.substr(0, kHead).find("<System>") != body.npos;
  }

  void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) override {
    Reader(input, arena, parsed).Read();
    parsed->event.product = "microsoft.windows";
  }
};

}  // namespace

std::unique_ptr<Parser> MakeWindowsXmlParser() { return std::make_unique<WindowsXmlParser>(); }

}  // namespace yagura::ingestion
