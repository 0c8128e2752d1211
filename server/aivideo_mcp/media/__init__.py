"""Finished videos on disk: saved inside one folder, whole or not at all, never over another file.

shelf     the folder and the ledger together: what is saved of a task, and where
folder    one save from start to end: its turn, the file that is there already, the download, the name
turns     one save of a task at a time, over all processes on the state folder
fetching  one download across breaks: resumed, started again, given up
expiry    when the upstream deletes the file, and what is said then
places    the folder as a fence: partial files, whole files, names that are taken
room      whether the folder takes files at all
boxes     whether a file is a whole MP4
names     names that people can read and every platform takes
"""

from aivideo_mcp.media.boxes import fault_of
from aivideo_mcp.media.fetching import MAX_VIDEO
from aivideo_mcp.media.folder import VideoFolder
from aivideo_mcp.media.names import file_name
from aivideo_mcp.media.room import fault_of_folder, nearest
from aivideo_mcp.media.shelf import Shelf

__all__ = ["MAX_VIDEO", "Shelf", "VideoFolder", "fault_of", "fault_of_folder", "file_name", "nearest"]
