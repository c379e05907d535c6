#include "cli/render.h"

#include <algorithm>

#include "cli/event_json.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"

#include "common/clock/proto_time.h"
#include "common/json/message_json.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string JsonOf(const Message& message) {
  const auto* event = dynamic_cast<const event::v1::Event*>(&message);
  return event != nullptr ? EventToJson(*event) : MessageToJson(message);
}

const Message& SubMessage(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  return index >= 0 ? reflection.GetRepeatedMessage(message, &field, index)
                    : reflection.GetMessage(message, &field);
}

std::string CellText(const Message& message, const FieldDescriptor& field, int index) {
  if (field.message_type() == nullptr) return ScalarToText(message, field, index);
  const Message& inner = SubMessage(message, field, index);
  if (const auto* time = dynamic_cast<const google::protobuf::Timestamp*>(&inner)) {
    return FormatTime(std::chrono::floor<std::chrono::seconds>(FromProto(*time)));
  }
  if (auto text = WellKnownToText(inner)) return *text;
  return MessageToJson(inner);
}

// One character of valid UTF-8: its bytes, and the columns it takes (East Asian wide ones take
// two).
struct Character {
  size_t bytes;
  size_t columns;
};

Character CharacterAt(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  uint32_t code = bytes == 1 ? lead : lead & (0xffu >> (bytes + 1));
  for (size_t k = 1; k < bytes && at + k < text.size(); ++k) {
    code = (code << 6) | (static_cast<unsigned char>(text[at + k]) & 0x3f);
  }
  const bool wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) ||
                    (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
                    (code >= 0xff00 && code <= 0xff60) || code >= 0x1f300;
  return {bytes, wide ? 2u : 1u};
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    const Character character = CharacterAt(text, i);
    width += character.columns;
    i += character.bytes;
  }
  return width;
}

std::string Shorten(std::string text, size_t max_width) {
  if (DisplayWidth(text) <= max_width) return text;
  size_t end = 0;
  for (size_t width = 1; end < text.size();) {  // one column is for the "…"
    const Character character = CharacterAt(text, end);
    width += character.columns;
    if (width > max_width) break;
    end += character.bytes;
  }
  return text.substr(0, end) + "…";
}

// `text` with tabs expanded to columns of eight and control characters made visible.
std::string PrintableLine(std::string_view text) {
  constexpr size_t kTab = 8;
  std::string out;
  size_t width = 0;
  for (size_t begin = 0;;) {
    const size_t tab = std::min(text.find('\t', begin), text.size());
    const std::string part = EscapeForTerminal(text.substr(begin, tab - begin));
    width += DisplayWidth(part);
    out += part;
    if (tab == text.size()) return out;
    const size_t blanks = kTab - width % kTab;
    out.append(blanks, ' ');
    width += blanks;
    begin = tab + 1;
  }
}

void AppendBlock(std::string& out, std::string_view text, const std::string& indent) {
  text = text.substr(0, text.find_last_not_of("\r\n") + 1);
  for (auto line : Split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) out += indent + PrintableLine(line);
    out += '\n';
  }
}

std::vector<const FieldDescriptor*> SetFields(const Message& message) {
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  return set;
}

bool HasBlock(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  const auto inside = [](const Message& inner) {
    return std::ranges::any_of(SetFields(inner),
                               [&](const auto* each) { return HasBlock(inner, *each); });
  };
  if (field.message_type() != nullptr && field.is_repeated()) {
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      if (inside(SubMessage(message, field, i))) return true;
    }
    return false;
  }
  if (field.message_type() != nullptr) return inside(SubMessage(message, field, -1));
  return field.type() == FieldDescriptor::TYPE_STRING && !field.is_repeated() &&
         reflection.GetString(message, &field).find('\n') != std::string::npos;
}

void AppendMessage(std::string& out, const Message& message, const std::string& indent) {
  const auto set = SetFields(message);
  const std::string deeper = indent + "  ";
  size_t width = 0;
  for (const auto* field : set) width = std::max(width, field->name().size());
  for (const auto* field : set) {
    if (!HasBlock(message, *field)) {
      out += fmt::format("{}{:<{}}  {}\n", indent, field->name() + ":", width + 1,
                         Cell(message, field->name()));
    } else if (field->message_type() == nullptr) {
      out += indent + field->name() + ":\n";
      AppendBlock(out, message.GetReflection()->GetString(message, field), deeper);
    } else if (!field->is_repeated()) {
      out += indent + field->name() + ":\n";
      AppendMessage(out, SubMessage(message, *field, -1), deeper);
    } else {
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        out += fmt::format("{}{}[{}]:\n", indent, field->name(), i);
        AppendMessage(out, SubMessage(message, *field, i), deeper);
      }
    }
  }
}

}  // namespace

std::string MessageToText(const Message& message) {
  std::string out;
  AppendMessage(out, message, "");
  return out;
}

std::string Cell(const Message& message, std::string_view path) {
  const size_t dot = path.find('.');
  const auto* field = message.GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
  if (field == nullptr) return {};
  const Reflection& reflection = *message.GetReflection();
  if (field->is_repeated()) {
    std::vector<std::string> parts;
    const bool keyed = dot != std::string_view::npos && IsNameValue(*field);
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (keyed) {
        const Message& pair = SubMessage(message, *field, i);
        const auto* type = pair.GetDescriptor();
        if (ScalarToText(pair, *type->FindFieldByName("name"), -1) != path.substr(dot + 1))
          continue;
        parts.push_back(ScalarToText(pair, *type->FindFieldByName("value"), -1));
        break;
      }
      parts.push_back(dot == std::string_view::npos || field->message_type() == nullptr
                          ? CellText(message, *field, i)
                          : Cell(SubMessage(message, *field, i), path.substr(dot + 1)));
    }
    return EscapeForTerminal(Join(parts, ", "));
  }
  if (field->message_type() != nullptr) {
    if (!reflection.HasField(message, field)) return {};
    if (dot != std::string_view::npos) {
      return Cell(SubMessage(message, *field, -1), path.substr(dot + 1));
    }
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM &&
      reflection.GetEnumValue(message, field) == 0) {
    return {};
  }
  std::string text = CellText(message, *field, -1);
  const bool is_port = field->name() == "port" || field->name().ends_with("_port");
  if (text == "0" && is_port) return {};  // no port at all
  return EscapeForTerminal(text);
}

void Renderer::Add(const Message& message) {
  ++rows_;
  if (format_ == Format::kTable) {
    auto& row = cells_.emplace_back();
    for (const auto& column : columns_) {
      row.push_back(Shorten(
          column.text ? EscapeForTerminal(column.text(message)) : Cell(message, column.path),
          column.max_width));
    }
  } else if (format_ == Format::kJsonLines) {
    pending_ += JsonOf(message) + "\n";
  } else {
    pending_ += (rows_ == 1 ? "[\n  " : ",\n  ") + JsonOf(message);
  }
}

std::string Renderer::Flush() {
  if (format_ == Format::kTable) return Table();
  if (format_ == Format::kJsonLines) return std::exchange(pending_, {});
  return {};
}

std::string Renderer::Finish() {
  if (format_ == Format::kJson) return rows_ == 0 ? "[]\n" : pending_ + "\n]\n";
  if (format_ == Format::kTable && rows_ == 0) return "(none)\n";
  return Flush();
}

std::string Renderer::Table() {
  if (cells_.empty()) return {};
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = DisplayWidth(columns_[c].heading);
    for (const auto& row : cells_) width = std::max(width, DisplayWidth(row[c]));
    widths.push_back(width);
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& row) {
    std::string text;
    for (size_t c = 0; c < row.size(); ++c) {
      text += row[c];
      if (c + 1 < row.size()) text.append(widths[c] - DisplayWidth(row[c]) + 2, ' ');
    }
    out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  };
  if (!heading_written_) {
    std::vector<std::string> headings;
    for (const auto& column : columns_) headings.push_back(column.heading);
    line(headings);
    heading_written_ = true;
  }
  for (const auto& row : cells_) line(row);
  cells_.clear();
  return out;
}

}  // namespace yagura::cli
