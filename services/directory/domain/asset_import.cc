#include "services/directory/domain/asset_import.h"

#include <algorithm>
#include <array>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/message_differencer.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/directory/domain/csv.h"
#include "services/directory/domain/validate.h"

namespace yagura::directory {
namespace {

// Column and the field that it fills.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kColumns = {{
    {"asset_id", ""},
    {"display_name", "display_name"},
    {"host_name", "host_name"},
    {"site", ""},
    {"addresses", "addresses"},
    {"products", "products"},
    {"exposure", "exposure"},
    {"criticality", "criticality"},
    {"owner", "owner"},
    {"note", "note"},
}};

using Cells = std::map<std::string_view, std::string_view>;

std::string_view Cell(const Cells& cells, std::string_view column) {
  const auto cell = cells.find(column);
  return cell == cells.end() ? std::string_view() : cell->second;
}

std::string Shown(std::string_view text) {
  return EscapeForTerminal(ToValidUtf8(text.substr(0, 40)));
}

// "high" or "CRITICALITY_HIGH"; -1 where it is neither.
int EnumNumber(const google::protobuf::EnumDescriptor& type, std::string_view prefix,
               std::string_view text) {
  if (text.empty()) return 0;
  const std::string upper = ToUpper(text);
  const auto* value = type.FindValueByName(upper);
  if (value == nullptr) value = type.FindValueByName(std::string(prefix) + upper);
  return value == nullptr ? -1 : value->number();
}

// The id of a row: its own, or the first label of its host name.
std::string IdOf(const Cells& cells) {
  const std::string_view own = Cell(cells, "asset_id");
  if (!own.empty()) return std::string(own);
  const std::string_view host = Cell(cells, "host_name");
  return ToLower(host.substr(0, host.find('.')));
}

void FillAddresses(const Cells& cells, v1::Asset& asset) {
  for (const auto part : Split(Cell(cells, "addresses"), ';')) {
    std::string_view text = Trim(part);
    if (text.empty()) continue;
    auto& address = *asset.add_addresses();
    address.set_site(std::string(Cell(cells, "site")));
    // "osaka/10.0.0.1": what stands before the slash is no address.
    const size_t slash = text.find('/');
    if (slash != std::string_view::npos && store::IsValidId(text.substr(0, slash)) &&
        text.substr(0, slash).find_first_not_of("0123456789") != std::string_view::npos) {
      address.set_site(std::string(text.substr(0, slash)));
      text.remove_prefix(slash + 1);
    }
    address.set_address(std::string(text));
  }
}

absl::StatusOr<v1::Asset> FillAsset(const Cells& cells, std::string_view tenant) {
  const std::string id = IdOf(cells);
  if (id.empty()) return InvalidField("asset_id", "the row has neither asset_id nor host_name");
  if (!store::IsValidId(id)) {
    return InvalidField("asset_id", fmt::format("\"{}\" is no id", Shown(id)));
  }
  v1::Asset asset;
  asset.set_name(fmt::format("tenants/{}/assets/{}", tenant, id));
  asset.set_display_name(std::string(Cell(cells, "display_name")));
  asset.set_host_name(std::string(Cell(cells, "host_name")));
  asset.set_owner(std::string(Cell(cells, "owner")));
  asset.set_note(std::string(Cell(cells, "note")));
  const int exposure = EnumNumber(*v1::Exposure_descriptor(), "EXPOSURE_", Cell(cells, "exposure"));
  if (exposure < 0) {
    return InvalidField("exposure", fmt::format("\"{}\" is none", Shown(Cell(cells, "exposure"))));
  }
  const int criticality =
      EnumNumber(*v1::Criticality_descriptor(), "CRITICALITY_", Cell(cells, "criticality"));
  if (criticality < 0) {
    return InvalidField("criticality",
                        fmt::format("\"{}\" is none", Shown(Cell(cells, "criticality"))));
  }
  asset.set_exposure(static_cast<v1::Exposure>(exposure));
  asset.set_criticality(static_cast<v1::Criticality>(criticality));
  FillAddresses(cells, asset);
  for (const auto product : Split(Cell(cells, "products"), ';')) {
    if (!Trim(product).empty()) asset.add_products(std::string(Trim(product)));
  }
  YAGURA_RETURN_IF_ERROR(Normalize(asset));
  return asset;
}

absl::StatusOr<std::vector<std::string>> ReadHeader(const CsvRow& header,
                                                    std::set<std::string>& fields) {
  std::vector<std::string> columns;
  std::set<std::string> seen;
  for (const auto& cell : header.cells) {
    const std::string column = ToLower(cell);
    const auto known =
        std::find_if(kColumns.begin(), kColumns.end(),
                     [&column](const auto& candidate) { return candidate.first == column; });
    if (known == kColumns.end()) {
      return InvalidField("csv",
                          fmt::format("line {}: unknown column \"{}\"", header.line, Shown(cell)));
    }
    if (!seen.insert(column).second) {
      return InvalidField("csv",
                          fmt::format("line {}: column \"{}\" comes twice", header.line, column));
    }
    if (!known->second.empty()) fields.emplace(known->second);
    columns.push_back(column);
  }
  if (!seen.contains("asset_id") && !seen.contains("host_name")) {
    return InvalidField("csv", "needs a column asset_id or host_name");
  }
  return columns;
}

}  // namespace

absl::StatusOr<AssetTable> ReadAssetTable(std::string_view csv, std::string_view tenant) {
  YAGURA_ASSIGN_OR_RETURN(const auto rows, ParseCsv(csv));
  if (rows.empty()) return InvalidField("csv", "has no header line");
  AssetTable table;
  YAGURA_ASSIGN_OR_RETURN(const auto columns, ReadHeader(rows.front(), table.fields));
  std::map<std::string, int> first_line;
  for (size_t i = 1; i < rows.size(); ++i) {
    AssetRow& made = table.rows.emplace_back();
    made.line = rows[i].line;
    if (rows[i].cells.size() != columns.size()) {
      made.error =
          fmt::format("has {} cells where the header has {}", rows[i].cells.size(), columns.size());
      continue;
    }
    Cells cells;
    for (size_t c = 0; c < columns.size(); ++c) cells[columns[c]] = rows[i].cells[c];
    auto asset = FillAsset(cells, tenant);
    if (!asset.ok()) {
      made.error = Message(asset.status());
      continue;
    }
    made.asset = *std::move(asset);
    const auto [line, first] = first_line.emplace(made.asset.name(), made.line);
    if (!first) made.error = fmt::format("names the same asset as line {}", line->second);
  }
  return table;
}

std::vector<std::string> ApplyRow(const AssetTable& table, const AssetRow& row, v1::Asset& asset) {
  std::vector<std::string> changed;
  const auto* descriptor = v1::Asset::descriptor();
  for (const auto& name : table.fields) {
    const auto* field = descriptor->FindFieldByName(name);
    google::protobuf::util::MessageDifferencer differencer;
    if (differencer.CompareWithFields(asset, row.asset, {field}, {field})) continue;
    changed.push_back(name);
    // Swap takes the field, set or not, from a copy.
    v1::Asset copy = row.asset;
    asset.GetReflection()->SwapFields(&asset, &copy, {field});
  }
  return changed;
}

}  // namespace yagura::directory
