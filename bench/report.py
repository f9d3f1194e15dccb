import json
def write(results, into):
    import statistics
    out=[]
    for measure, by in results["figures"].items():
        out.append(measure)
        for name, values in by.items():
            out.append(f"   {name:22} {statistics.median(values):10.2f}   {min(values):.2f} .. {max(values):.2f}")
    return "\n".join(out)+"\n"+json.dumps(results["notes"],indent=1)+json.dumps(results["calls"],indent=1)
